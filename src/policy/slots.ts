/** Lists of policies by their number in a layer of the index, and maps to such lists. */

/** In ascending order, each once. */
export type Slots = number[];

/** Slots come in ascending order, so one that is there already is the last. */
export function append(slots: Slots, slot: number): void {
  if (slots[slots.length - 1] !== slot) slots.push(slot);
}

/** Appends to the list at the key, and begins it where there is none. */
export function appendAt(map: Map<string, Slots>, key: string, slot: number): void {
  const slots = map.get(key);
  // Most lists stay at one slot, for which this takes 16 bytes. An empty list that is pushed to makes room for 17.
  if (slots === undefined) map.set(key, [slot]);
  else append(slots, slot);
}
