{
  "variables": {"strict%": "false", "sanitize%": "false"},
  "target_defaults": {
    "cflags_cc!": ["-std=gnu++20", "-O3"],
    "cflags_cc": ["-std=c++17", "-O2", "-fno-exceptions", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "conditions": [
      ["strict=='true'", {"cflags_cc": ["-Werror"]}],
      ["sanitize=='true'", {
        "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"],
        "ldflags": ["-fsanitize=address,undefined"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "d4c-gate-keeper",
      "type": "executable",
      "sources": [
        "src/native/arguments.cc",
        "src/native/cgroup.cc",
        "src/native/changes.cc",
        "src/native/changes_take.cc",
        "src/native/comparing.cc",
        "src/native/container.cc",
        "src/native/creations.cc",
        "src/native/drift.cc",
        "src/native/execs.cc",
        "src/native/fid_events.cc",
        "src/native/frames.cc",
        "src/native/forks.cc",
        "src/native/gate.cc",
        "src/native/gate_deadline.cc",
        "src/native/gate_read.cc",
        "src/native/gate_watch.cc",
        "src/native/group.cc",
        "src/native/hello.cc",
        "src/native/in_container.cc",
        "src/native/json.cc",
        "src/native/judge.cc",
        "src/native/judge_changes.cc",
        "src/native/judge_default.cc",
        "src/native/judge_forks.cc",
        "src/native/judge_origin.cc",
        "src/native/judge_rules.cc",
        "src/native/keeper.cc",
        "src/native/keeper_agents.cc",
        "src/native/keeper_log.cc",
        "src/native/keeper_main.cc",
        "src/native/lineage.cc",
        "src/native/memory.cc",
        "src/native/mount_kinds.cc",
        "src/native/mounts.cc",
        "src/native/opened.cc",
        "src/native/paths.cc",
        "src/native/proc_file.cc",
        "src/native/processes.cc",
        "src/native/report_json.cc",
        "src/native/reports.cc",
        "src/native/probe.cc",
        "src/native/status.cc",
        "src/native/status_json.cc",
        "src/native/spaces.cc",
        "src/native/spaces_look.cc",
        "src/native/syscalls.cc",
        "src/native/table.cc",
        "src/native/table_reader.cc",
        "src/native/task.cc",
        "src/native/turn.cc",
        "src/native/upper.cc",
        "src/native/upper_claims.cc",
        "src/native/volumes.cc"
      ],
      "conditions": [["sanitize!='true'", {"ldflags": ["-static-libstdc++", "-static-libgcc"]}]]
    },
    {
      "target_name": "d4c_gate",
      "sources": [
        "src/native/binding.cc",
        "src/native/json.cc",
        "src/native/paths.cc",
        "src/native/report_json.cc",
        "src/native/reports.cc",
        "src/native/table.cc",
        "src/native/table_reader.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
    }
  ]
}
