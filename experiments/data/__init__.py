"""What trials train and evaluate on: annotation files, images, and the shapes that are drawn."""
