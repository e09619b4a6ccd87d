"""The data of trials: annotation files, images, and drawn shapes."""
