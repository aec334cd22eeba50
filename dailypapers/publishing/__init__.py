"""What pages show, made from what the database holds: pure functions that plugins/ calls."""
