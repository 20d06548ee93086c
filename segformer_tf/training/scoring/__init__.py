"""How scores are taken: protocols, measures beside mIoU, calibration, corruptions."""
