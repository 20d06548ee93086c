"""`python -m segformer_tf.cli`."""

from segformer_tf.cli import main

main()
