"""Learning: teacher-forced log-probabilities, losses, critics, and one update step."""
