#include "keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "json.h"
#include "keeper_log.h"
#include "report_json.h"

namespace d4c {

namespace {

/// An agent, its successor, and some who ask for the status.
constexpr size_t kMaxClients = 16;
/// From the first event that waits until all that wait are handed over.
constexpr std::chrono::milliseconds kEventsPause(20);
/// For the agent to take what is left when the gate has closed.
constexpr std::chrono::milliseconds kFarewell(2000);
/// Until a connection that could not be accepted is tried again.
constexpr std::chrono::milliseconds kAcceptPause(100);
/// For one that was told to go to read why, and to go.
constexpr std::chrono::milliseconds kLinger(2000);

/// The shorter one. As unsigned numbers, -1 is the longest.
int shorter(int one, int other) { return static_cast<int>(std::min(static_cast<unsigned>(one), static_cast<unsigned>(other))); }

int msUntil(Clock::time_point time) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

sigset_t endingSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Keeper::Keeper(KeeperOptions options) : options_(std::move(options)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // Before the gate's threads, which take this mask.
  const sigset_t set = endingSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = Descriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  signal(SIGPIPE, SIG_IGN);
}

Keeper::~Keeper() {
  if (listener_) unlink(options_.socket_path.c_str());
}

bool Keeper::listen() {
  const std::string& path = options_.socket_path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return sayError("cannot listen on `" + path + "`: the path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  lock_ = Descriptor(open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_) return sayError("cannot open `" + path + ".lock`: " + std::strerror(errno));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) return sayError("another keeper listens on `" + path + "`");
  const std::string own_pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock_.get(), 0) != 0 || pwrite(lock_.get(), own_pid.data(), own_pid.size(), 0) < 0) {
    return sayError("cannot write `" + path + ".lock`: " + std::strerror(errno));
  }
  unlink(path.c_str());
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t mask = umask(0177);
  const bool is_bound = socket && bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  umask(mask);
  if (!is_bound || ::listen(socket.get(), 8) != 0) {
    return sayError("cannot listen on `" + path + "`: " + std::strerror(is_bound ? errno : error));
  }
  listener_ = std::move(socket);
  return true;
}

/// KERNEL: what cannot be accepted for want of a descriptor or of memory stays in the listener's queue, which stays readable.
void Keeper::accept() {
  Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    // One that has gone again, or a signal.
    if (errno == ECONNABORTED || errno == EAGAIN || errno == EINTR) return;
    const std::string why = std::string("accept4: ") + std::strerror(errno);
    if (!accept_at_) say("connections wait", why);
    if (gate_ != nullptr) gate_->reports().fail(Failure::kConnectionDelayed, why);
    accept_at_ = Clock::now() + kAcceptPause;
    return;
  }
  accept_at_.reset();
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  if (peer.uid != 0 && peer.uid != geteuid()) {
    say("connection refused", "of a user other than root");
  } else if (clients_.size() >= kMaxClients) {
    say("connection refused", "there are too many");
  } else {
    clients_.emplace_back(std::move(socket));
  }
}

int Keeper::run() {
  if (!options_.socket_path.empty() && !listen()) return 1;
  const bool has_parent = static_cast<bool>(options_.inherited);
  if (has_parent) clients_.emplace_back(std::move(options_.inherited));
  while (!is_ended_ && (listener_ || !clients_.empty())) {
    // Whoever started it could not have a gate and has gone: there is nothing to keep, and the socket is for the next one.
    if (has_parent && gate_ == nullptr && clients_.empty()) break;
    const int accept_in = untilAccept();
    const int listener = accept_in > 0 ? -1 : listener_.get();
    std::vector<pollfd> polled = {{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}, {listener, POLLIN, 0}};
    for (const Client& client : clients_) {
      const int unsent = client.connection.unsent() > 0 ? POLLOUT : 0;
      polled.push_back({client.connection.descriptor(), static_cast<short>(POLLIN | unsent), 0});
    }
    const int pause = shorter(shorter(untilBeat(), untilDue()), shorter(untilCut(), accept_in));
    if (poll(polled.data(), polled.size(), pause) < 0 && errno != EINTR) break;
    if (polled[0].revents != 0) break;
    uint64_t ignored = 0;
    const bool is_woken = polled[1].revents != 0 && read(wake_.get(), &ignored, sizeof ignored) == sizeof ignored;
    // Woken once more in the pause: there are too many to wait for its end.
    if (is_woken) due_ = due_ ? Clock::now() : Clock::now() + kEventsPause;
    size_t at = 3;
    for (auto client = clients_.begin(); client != clients_.end();) {
      const auto one = client++;
      const short ready = polled[at++].revents;
      if ((ready & POLLIN) != 0) hear(&*one);
      if (ready != 0 && !serve(&*one)) part(one);
    }
    if (polled[2].revents != 0) accept();
    const bool is_agent_alive = beat();
    tell();
    for (auto client = clients_.begin(); client != clients_.end();) {
      const auto one = client++;
      const bool stays = one->connection.flush() && (is_agent_alive || !one->is_agent) && (!one->is_leaving || lingers(&*one));
      if (!stays) part(one);
    }
  }
  end();
  return exit_code_;
}

int Keeper::untilDue() const {
  return due_ ? msUntil(*due_) : -1;
}

int Keeper::untilAccept() const {
  const int left = accept_at_ ? msUntil(*accept_at_) : 0;
  return left > 0 ? left : -1;
}

void Keeper::dismiss(Client* client, std::string_view refusal) {
  client->connection.send(refusal);
  client->is_leaving = true;
  client->cut_at = Clock::now() + kLinger;
}

/// KERNEL: whoever writes to a connection that the other side has closed fails at that, and may never read what was said before.
/// An agent that does not know that another has come would come again, and take the keeper back.
bool Keeper::lingers(Client* client) {
  if (client->connection.unsent() == 0) client->connection.finish();
  return Clock::now() < client->cut_at;
}

int Keeper::untilCut() const {
  int shortest = -1;
  for (const Client& client : clients_) {
    if (!client.is_leaving) continue;
    shortest = shorter(shortest, msUntil(client.cut_at));
  }
  return shortest;
}

bool Keeper::serve(Client* client) {
  if (client->is_leaving) return client->connection.discard();
  const bool goes_on = client->connection.receive();
  while (const auto frame = client->connection.next()) {
    if (client->is_leaving) return goes_on;
    if (handle(client, *frame)) continue;
    say("connection cut off", "it does not keep to the form");
    return false;
  }
  return goes_on;
}

void Keeper::part(Clients::iterator client) {
  if (client->is_agent) {
    gate_->attend(false);
    takeBack();
    say("agent gone", "");
  }
  clients_.erase(client);
}

Keeper::Client* Keeper::agent() {
  for (Client& client : clients_) {
    if (client.is_agent) return &client;
  }
  return nullptr;
}

void Keeper::end() {
  if (gate_ == nullptr) return;
  gate_->close();
  is_behind_ = true;
  const auto deadline = Clock::now() + kFarewell;
  Client* const last = agent();
  while (last != nullptr && Clock::now() < deadline) {
    tell();
    if (!last->connection.flush()) break;
    const bool is_told = last->connection.unsent() == 0 && unconfirmed_.empty();
    if (is_told) break;
    pollfd polled{last->connection.descriptor(), static_cast<short>(POLLIN | (last->connection.unsent() > 0 ? POLLOUT : 0)), 0};
    if (poll(&polled, 1, msUntil(deadline)) > 0 && (polled.revents & POLLIN) && !serve(last)) break;
  }
  if (last != nullptr) {
    last->connection.send(Json().text("type", "closed").raw("value", jsonOf(gate_->stats())).done());
    last->connection.flush();
  }
  say("gate closed", "");
  if (gate_->isKept()) gate_.release();
}

}  // namespace d4c
