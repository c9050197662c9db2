/** Lists of policies by their number in a layer of the index, and maps to such lists. */

/** In ascending order, each once. */
export type Slots = number[];

/** Slots come in ascending order, so one that is there already is the last. */
export function append(slots: Slots, slot: number): void {
  if (slots[slots.length - 1] !== slot) slots.push(slot);
}

/** The list at the key, begun when there is none. */
export function slotsAt(map: Map<string, Slots>, key: string): Slots {
  const slots = map.get(key) ?? [];
  if (slots.length === 0) map.set(key, slots);
  return slots;
}
