// The part of the keeper that speaks with agents.

#include <unistd.h>

#include <algorithm>

#include "hello.h"
#include "json.h"
#include "keeper.h"
#include "keeper_log.h"
#include "report_json.h"

namespace d4c {

namespace {

/// An agent that is slower leaves the reports in their own, bounded queue.
constexpr size_t kMaxUnsent = size_t{256} << 10;
constexpr size_t kMaxUnconfirmed = 1024;
constexpr size_t kEventsPerTurn = 64;
constexpr std::chrono::milliseconds kShortestSilence(500);

std::string refusal(const char* code, const std::string& message) {
  return Json().text("type", "refused").text("code", code).text("message", message).done();
}

}  // namespace

/// Its first byte says what a frame is: `H`ello, `P`ublish, `A`dopt, `S`tats, s`T`atus, `K` for confirm, `B`eat, `C`lose.
bool Keeper::handle(Client* client, std::string_view frame) {
  const char kind = frame.empty() ? '\0' : frame.front();
  if (!frame.empty()) frame.remove_prefix(1);
  if (kind == 'H') return hello(client, frame);
  if (kind == 'S' || kind == 'T' || kind == 'A') {
    frame = std::string_view(frame.data() - 1, frame.size() + 1);
    return answer(client, frame);
  }
  if (!client->is_agent || gate_ == nullptr) return false;
  if (kind == 'P') return publish(frame);
  if (kind == 'K') return confirm(frame);
  // To have been heard is all that it is for.
  if (kind == 'B') return true;
  if (kind == 'C') is_ended_ = true;
  return kind == 'C';
}

bool Keeper::hello(Client* client, std::string_view texts) {
  std::string wrong;
  auto hello = readHello(texts, &wrong);
  if (!hello) return sayError("an agent's greeting is not understood: " + wrong);
  if (!hello->speech.empty() && hello->speech != kSpeech) {
    // Before it takes the place of an agent that is understood.
    dismiss(client, refusal("KEEPER_VERSION", "the keeper speaks " + std::string(kSpeech) + ", and the agent " + hello->speech));
    return true;
  }
  client->answers_pings = !hello->speech.empty();
  next_beat_ = {};
  GateOptions* const options = &hello->gate;
  options->settings.silence = std::max(options->settings.silence, kShortestSilence);
  if (gate_ != nullptr) {
    gate_->configure(options->settings);
    welcome(client);
    return true;
  }
  options->wake = [wake = wake_.get()] {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake, &one, sizeof one);
  };
  GateFault fault{};
  gate_ = Gate::open(std::move(*options), &fault);
  if (gate_ == nullptr) {
    dismiss(client, refusal(fault.code, fault.message));
    return true;
  }
  say("gate open", "");
  welcome(client);
  return true;
}

void Keeper::welcome(Client* client) {
  for (Client& other : clients_) {
    if (!other.is_agent || &other == client) continue;
    dismiss(&other, refusal("KEEPER_TAKEN", "another agent has come to the keeper"));
    other.is_agent = false;
    takeBack();
    say("agent replaced", "");
  }
  client->is_agent = true;
  is_behind_ = true;
  Json greeting;
  greeting.text("type", "welcome").number("pid", getpid()).text("speech", kSpeech);
  if (!gate_->unenforceable().empty()) greeting.text("unenforceable", gate_->unenforceable());
  client->connection.send(greeting.done());
  // Notices may repeat what `found` tells, and miss nothing.
  gate_->attend(true);
  for (FoundContainer& found : gate_->found()) tell(client, Report(std::move(found)));
}

bool Keeper::publish(std::string_view frame) {
  Fields fields(frame);
  const uint64_t key = fields.number(8);
  const uint64_t generation = fields.number(8);
  const bool has_table = fields.number(1) != 0;
  const std::string_view bytes = fields.bytes();
  const std::string_view context = fields.bytes();
  auto names = names_.of(fields.bytes(), readRuleNames);
  if (!fields.isWhole() || names == nullptr) return false;
  std::shared_ptr<const Table> table;
  std::string fault;
  if (has_table) {
    table = tables_.of(bytes, [&fault](std::string_view all) {
      return Table::parse(reinterpret_cast<const uint8_t*>(all.data()), all.size(), &fault);
    });
  }
  if (has_table && table == nullptr) {
    gate_->reports().fail(Failure::kPublishFailed, "cannot read the decision table: " + fault);
    return true;
  }
  gate_->publish(key, std::move(table), generation, std::make_shared<const std::string>(context), std::move(names));
  return true;
}

/// What has an answer: the kind, and the number by which the answer is known.
bool Keeper::answer(Client* client, std::string_view frame) {
  Fields fields(frame);
  const auto kind = static_cast<char>(fields.number(1));
  const uint64_t request = fields.number(4);
  std::string value = "null";
  if (kind == 'A') {
    const uint64_t key = fields.number(8);
    const auto pid = static_cast<pid_t>(fields.number(4));
    if (!fields.isWhole() || !client->is_agent) return false;
    const std::string cgroup = gate_->adopt(key, pid);
    if (!cgroup.empty()) value = quoted(cgroup);
  } else if (kind == 'T') {
    value = status();
  } else if (gate_ != nullptr) {
    value = jsonOf(gate_->stats());
  }
  if (!fields.isWhole()) return false;
  client->connection.send(Json().text("type", "answer").number("request", request).raw("value", value).done());
  return true;
}

/// The agent has done with every event up to this number.
bool Keeper::confirm(std::string_view frame) {
  Fields fields(frame);
  const uint64_t sequence = fields.number(8);
  while (!unconfirmed_.empty() && unconfirmed_.front().sequence <= sequence) {
    unconfirmed_bytes_ -= unconfirmed_.front().bytes;
    unconfirmed_.pop_front();
  }
  return fields.isWhole();
}

void Keeper::takeBack() {
  unconfirmed_bytes_ = 0;
  gate_->reports().giveBack(std::exchange(unconfirmed_, {}));
}

std::string Keeper::status() {
  Json object;
  const Client* const client = agent();
  object.number("pid", getpid()).text("speech", kSpeech).flag("hasAgent", client != nullptr && !isSilent(*client));
  if (client != nullptr && isSilent(*client)) {
    object.number("silentMs", std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - client->heard_at).count());
  }
  object.number("unconfirmed", uint64_t{unconfirmed_.size()});
  if (gate_ != nullptr) {
    object.raw("settings", jsonOf(gate_->settings())).raw("stats", jsonOf(gate_->stats()));
    object.raw("gate", jsonOf(gate_->status()));
  }
  return object.done();
}

void Keeper::tell() {
  Client* const client = agent();
  if (due_ && Clock::now() >= *due_) {
    due_.reset();
    is_behind_ = true;
  }
  if (client == nullptr) return;
  for (;;) {
    const size_t before = unconfirmed_.size();
    const bool has_room = before < kMaxUnconfirmed && unconfirmed_bytes_ < kMaxUnconfirmed * kBytesPerEvent;
    const bool takes_more = is_behind_ && client->connection.unsent() < kMaxUnsent && has_room;
    const size_t room = takes_more ? std::min(kMaxUnconfirmed - before, kEventsPerTurn) : 0;
    for (Report& report : gate_->reports().take(room, kMaxUnsent)) tell(client, std::move(report));
    // Who adds the next event to an empty queue wakes this thread again.
    if (takes_more && gate_->reports().waiting() == 0) is_behind_ = false;
    if (unconfirmed_.size() == before || !client->connection.flush()) return;
  }
}

void Keeper::tell(Client* client, Report report) {
  if (const auto* found = std::get_if<FoundContainer>(&report)) client->contexts.try_emplace(found->key);
  if (const auto* gone = std::get_if<ContainerGone>(&report)) client->contexts.erase(gone->key);
  auto* const event = std::get_if<KernelEvent>(&report);
  if (event != nullptr && event->context != nullptr) {
    const auto known = client->contexts.find(event->key);
    const bool is_known = known != client->contexts.end();
    if (!is_known || known->second != event->context) {
      const std::string value = Json().number("key", event->key).text("context", *event->context).done();
      client->connection.send(Json().text("type", "context").raw("value", value).done());
    }
    // Of a container that is gone it comes with each event.
    if (is_known) known->second = event->context;
  }
  client->connection.send(jsonOf(report));
  if (event == nullptr) return;
  unconfirmed_bytes_ += event->bytes;
  unconfirmed_.push_back(std::move(*event));
}

}  // namespace d4c
