"""What runs in the ranks of a trial: building the detector, training, evaluating, saving."""

import groie  # noqa: F401 (before MMDetection)
