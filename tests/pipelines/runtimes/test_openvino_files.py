from segformer_tf.pipelines.runtimes.openvino_files import _fingerprint


def test_a_change_in_any_megabyte_of_the_weights_is_seen(tmp_path):
    found = []
    for place in (None, 0, 2**20, 3 * 2**20 - 1):
        weights = bytearray(3 * 2**20)
        if place is not None:
            weights[place] = 1
        (tmp_path / "weights.bin").write_bytes(weights)
        found.append(_fingerprint(tmp_path / "weights.bin"))
    assert len(set(found)) == 4
