"""Whether a sync will work, and how fresh the warehouse is."""
