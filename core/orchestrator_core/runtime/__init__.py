"""What runs work: the scheduler, admission, child processes, readings, shutdown."""
