"""What `training.loop` is made of: steps, schedule, processes, monitoring, journal."""
