"""Records of MMS and what their values mean: statuses, times, names, progress and scope."""
