"""What trials train and evaluate on: annotation files, and the data drawn for demonstrations."""
