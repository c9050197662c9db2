/** Where runtimes listen. Apart from what connects to them, so that the command line can say it without loading HTTP/2. */

/** Where containerd listens on plain hosts, beside Docker, and under k3s. */
export const defaultContainerdSockets = [
  '/run/containerd/containerd.sock',
  '/run/docker/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
];
