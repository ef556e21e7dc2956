"""What can be seen of a run: its logs, its progress, and its status read back from the dataset."""
