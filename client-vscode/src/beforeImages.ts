/** What files held before a mission changed them: taken as edits arrive, kept within a limit. Pure. */

/** The texts of one mission, by the file's address. */
type Images = Map<string, string>;

/**
 * Texts from before a mission, for the diff editor only: undo is the server's.
 *
 * A text is taken when an edit arrives (`taken`) and given to its mission when the server says
 * whose edit it was (`assign`). The first text of a file stays: later edits of the same mission
 * belong to the same difference. The oldest missions are dropped beyond `limit` characters.
 */
export class BeforeImages {
  private readonly pending: Images = new Map();
  private readonly missions = new Map<string, Images>();

  constructor(private readonly limit = 32 * 1024 * 1024) {}

  /** Keeps the text that a file has right before an edit. */
  taken(address: string, text: string): void {
    this.pending.set(address, text);
    this.shrink();
  }

  /** The edit of this file was part of the mission. */
  assign(mission: string, address: string): void {
    const text = this.pending.get(address);
    if (text === undefined) {
      return;
    }
    this.pending.delete(address);
    const images = this.missions.get(mission) ?? new Map<string, string>();
    this.missions.set(mission, images);
    if (!images.has(address)) {
      images.set(address, text);
    }
  }

  /** The text before the mission, or undefined where it is not known. */
  get(mission: string, address: string): string | undefined {
    return this.missions.get(mission)?.get(address);
  }

  private shrink(): void {
    let size = characters(this.pending);
    for (const images of this.missions.values()) {
      size += characters(images);
    }
    for (const [id, images] of this.missions) {
      if (size <= this.limit) {
        return;
      }
      size -= characters(images);
      this.missions.delete(id);
    }
    for (const [address, text] of this.pending) {
      if (size <= this.limit) {
        return;
      }
      size -= text.length;
      this.pending.delete(address);
    }
  }
}

function characters(images: Images): number {
  let size = 0;
  for (const text of images.values()) {
    size += text.length;
  }
  return size;
}
