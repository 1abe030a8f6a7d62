/** How often a server that crashed is started again before a person is asked. */
export class RestartBudget {
  private readonly spent: number[] = [];

  constructor(
    private readonly limit = 4,
    private readonly windowMs = 3 * 60_000,
  ) {}

  /** Takes one restart; false where `limit` were taken within the window that ends `now` (milliseconds). */
  spend(now: number): boolean {
    while (this.spent.length > 0 && (this.spent[0] ?? 0) <= now - this.windowMs) {
      this.spent.shift();
    }
    if (this.spent.length >= this.limit) {
      return false;
    }
    this.spent.push(now);
    return true;
  }
}
