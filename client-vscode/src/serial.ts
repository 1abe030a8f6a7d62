/** Runs one operation after the other: a start never overlaps a stop. */
export class Serial {
  private last: Promise<unknown> = Promise.resolve();

  /** Runs `operation` once all earlier ones have ended, whether well or not. */
  run<T>(operation: () => Promise<T>): Promise<T> {
    const next = this.last.then(operation, operation);
    this.last = next.catch(() => undefined);
    return next;
  }

  /** Waits until no operation is under way or waiting. */
  async idle(): Promise<void> {
    for (let seen: unknown; seen !== this.last; ) {
      seen = this.last;
      await this.last;
    }
  }
}
