// The part of the keeper that finds out whether its agent still works: one that is stopped, or whose event loop hangs, stays
// connected and takes nothing.
//
// Whatever an agent says is a sign of life. Beats without one are counted, and not the time, so that a machine that stood
// still as a whole makes no agent silent.

#include <malloc.h>

#include <algorithm>

#include "json.h"
#include "keeper.h"
#include "keeper_log.h"

namespace d4c {

namespace {

constexpr int kBeatsOfSilence = 10;
/// What waits for a silent agent are notices of containers that come and go, since events wait in their own queue. Beyond this
/// it is cut off, and told of every container anew when it comes again.
constexpr size_t kMaxUnsentInSilence = size_t{2} << 20;
/// So many events, at some 3 KiB each, are worth a search for memory to give back once they are gone.
constexpr size_t kCrowd = 1024;

}  // namespace

bool Keeper::isSilent(const Client& client) const { return client.unheard_beats > kBeatsOfSilence; }

int Keeper::untilBeat() {
  const Client* const client = agent();
  if (client == nullptr || !client->answers_pings) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_beat_ - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

bool Keeper::beat() {
  if (untilBeat() != 0) return true;
  const std::chrono::milliseconds silence(gate_->settings().silence_ms);
  next_beat_ = Clock::now() + silence / kBeatsOfSilence;
  giveMemoryBack();
  Client* const client = agent();
  const bool was_silent = isSilent(*client);
  ++client->unheard_beats;
  if (!isSilent(*client)) {
    // What it has not taken yet asks for an answer as well as another one would.
    if (client->connection.unsent() == 0) client->connection.send(Json().text("type", "ping").done());
    return true;
  }
  if (!was_silent) {
    gate_->miss(true);
    gate_->reports().fail(Failure::kAgentSilent, "for " + std::to_string(silence.count()) + " ms");
    say("agent silent", "it is connected and does not answer");
  }
  // Without a listener it could not come again.
  return !listener_ || client->connection.unsent() <= kMaxUnsentInSilence;
}

void Keeper::giveMemoryBack() {
  const size_t waiting = gate_->reports().waiting() + unconfirmed_.size();
  if (waiting > kCrowd) was_crowded_ = true;
  if (!was_crowded_ || waiting > 0) return;
  was_crowded_ = false;
  // It keeps other threads from allocating for some 7 ms, hence not more often.
  malloc_trim(0);
}

void Keeper::hear(Client* client) {
  const bool was_silent = client->is_agent && isSilent(*client);
  client->heard_at = Clock::now();
  client->unheard_beats = 0;
  if (!was_silent) return;
  gate_->miss(false);
  say("agent back", "");
}

}  // namespace d4c
