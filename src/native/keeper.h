// The keeper: the process that gates. Agents come and go, the gate stays.
//
// Owns the gate (gate.h), the socket on which agents come, and their connections; nothing of policies or documents. One
// thread, that of `run`, does all of it; the gate's threads decide meanwhile and never wait for it.
//
//   agent ─ hello, publish, adopt ─▶ keeper ─▶ gate          one agent at a time: a newer one takes over
//   agent ◀─ welcome, containers, events, failures ─ keeper ◀─ reports of the gate
//
// An agent that hangs or is stopped stays connected: it does not answer `ping`, and then it counts as absent until it does
// (keeper_beats.cc).
//
// An agent that ends without `close` leaves the gate as it is: tables go on deciding (`on_agent_loss`), containers that
// start wait for `hold`, events wait in their bounded queue. Who comes next is told of every container with what was
// published for it, and then of every event that no agent has confirmed.
//
// Events are handed over 20 milliseconds after the first of them, or once many wait, all together: an agent that woke up for
// each would take the processor from the very programs that raise them.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "by_bytes.h"
#include "frames.h"
#include "gate.h"
#include "hello.h"

namespace d4c {

struct KeeperOptions {
  /// A connection that was inherited; none when it is empty.
  Descriptor inherited;
  /// Where to listen; nowhere when it is empty. Then the keeper ends with its last connection.
  std::string socket_path;
};

class Keeper {
 public:
  explicit Keeper(KeeperOptions options);
  ~Keeper();

  /// Until it is told to end, or nobody can come any more. Gives the exit code.
  int run();

 private:
  struct Client {
    explicit Client(Descriptor socket) : connection(std::move(socket)) {}
    Connection connection;
    bool is_agent = false;
    /// Was told to go, and is cut off by then at the latest.
    bool is_leaving = false;
    Clock::time_point cut_at{};
    /// Whether it answers `ping`.
    bool answers_pings = false;
    /// When anything came from it last, and how many beats there have been since.
    Clock::time_point heard_at = Clock::now();
    int unheard_beats = 0;
    /// For each container that it knows, what was sent last of what its events need.
    std::unordered_map<uint64_t, std::shared_ptr<const std::string>> contexts;
  };
  using Clients = std::list<Client>;

  bool listen();
  void accept();
  /// Milliseconds for which nobody is to be accepted, since that could not be done; -1 when anybody may be.
  int untilAccept() const;
  /// False when it has ended or does not keep to the form.
  bool serve(Client* client);
  bool handle(Client* client, std::string_view frame);
  bool hello(Client* client, std::string_view texts);
  bool publish(std::string_view frame);
  bool answer(Client* client, std::string_view frame);
  void welcome(Client* client);
  std::string status();
  /// Tells it to go, with this refusal.
  void dismiss(Client* client, std::string_view refusal);
  /// Whether one that was told to go still has time to.
  static bool lingers(Client* client);
  /// Milliseconds until one of them must be cut off; -1 while there is none.
  int untilCut() const;
  void part(Clients::iterator client);
  /// Milliseconds until the next beat; -1 while there is nobody to listen for.
  int untilBeat();
  /// Asks the agent for a sign of life, when it is time. False when the agent must be cut off.
  bool beat();
  void hear(Client* client);
  /// What events took that waited in a crowd and are gone. The allocator keeps it otherwise.
  void giveMemoryBack();
  bool isSilent(const Client& client) const;
  /// Hands reports to the agent, as far as it takes them: notices and failures at once, events when they are due.
  void tell();
  /// Milliseconds until events are due; -1 when none wait for that.
  int untilDue() const;
  void tell(Client* client, Report report);
  bool confirm(std::string_view frame);
  /// The agent is gone; what it has not confirmed is for the next one.
  void takeBack();
  /// Closes the gate and tells what was seen, for at most two seconds.
  void end();

  Client* agent();

  KeeperOptions options_;
  Descriptor lock_;
  Descriptor listener_;
  Descriptor wake_;
  Descriptor signals_;
  Clients clients_;
  std::unique_ptr<Gate> gate_;
  /// When what has come is handed over. Nothing while none has come since the last time.
  std::optional<Clock::time_point> due_;
  /// Whether events wait for an agent to come, or to take more. They are overdue.
  bool is_behind_ = false;
  /// Events that were sent to the agent and that it has not confirmed: the next agent gets them.
  std::deque<KernelEvent> unconfirmed_;
  size_t unconfirmed_bytes_ = 0;
  ByBytes<Table> tables_;
  ByBytes<RuleNames> names_;
  Clock::time_point next_beat_{};
  /// Once somebody could not be accepted, until somebody is: when that is tried again.
  std::optional<Clock::time_point> accept_at_;
  bool was_crowded_ = false;
  bool is_ended_ = false;
  int exit_code_ = 0;
};

}  // namespace d4c
