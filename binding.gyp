{
  "targets": [
    {
      "target_name": "d4c_gate",
      "sources": [
        "src/native/binding.cc",
        "src/native/to_js.cc",
        "src/native/arguments.cc",
        "src/native/cgroup.cc",
        "src/native/changes.cc",
        "src/native/changes_take.cc",
        "src/native/container.cc",
        "src/native/creations.cc",
        "src/native/execs.cc",
        "src/native/fid_events.cc",
        "src/native/gate.cc",
        "src/native/gate_read.cc",
        "src/native/gate_watch.cc",
        "src/native/group.cc",
        "src/native/in_container.cc",
        "src/native/judge.cc",
        "src/native/judge_changes.cc",
        "src/native/judge_rules.cc",
        "src/native/mounts.cc",
        "src/native/opened.cc",
        "src/native/paths.cc",
        "src/native/proc_file.cc",
        "src/native/processes.cc",
        "src/native/reports.cc",
        "src/native/syscalls.cc",
        "src/native/table.cc",
        "src/native/table_reader.cc",
        "src/native/task.cc",
        "src/native/upper.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc!": ["-std=gnu++20", "-O3"],
      "cflags_cc": ["-std=c++17", "-O2", "-fno-exceptions", "-fvisibility=hidden", "-Wall", "-Wextra"],
      "variables": {"strict%": "false"},
      "conditions": [["strict=='true'", {"cflags_cc": ["-Werror"]}]]
    }
  ]
}
