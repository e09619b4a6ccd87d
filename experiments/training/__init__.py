"""What runs in the ranks of a trial: building the detector, training, evaluating, saving."""
