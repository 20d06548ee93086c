from people_data import HALF, voc, write

from segformer_tf.data import inspect


def test_one_name_twice_in_class_names_txt_is_refused(tmp_path):
    voc(tmp_path, HALF)
    write(tmp_path, "class_names.txt", "__ignore__\n_background_\nleaf\nleaf\n")
    (error,) = inspect(tmp_path).errors
    assert "class_names.txt has the name 'leaf' twice" in error
