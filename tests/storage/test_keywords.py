"""Every public call refuses a misspelt keyword and names the nearest right one."""

import inspect
import pydoc
import re

import numpy as np
import pytest
from reference import FIXTURES, ROOT, TINY

from segformer_tf import (
    ImageClassificationPipeline,
    SegformerConfig,
    SegformerFeatureExtractor,
    SegformerImageProcessor,
    SegmentationPipeline,
    TFSegformerDecodeHead,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    TFSegformerModel,
    convert,
    training,
)
from segformer_tf.export.export import export
from segformer_tf.images import overlay
from segformer_tf.storage.keywords import check_keywords, keywords_of, spell_checked

CHECKPOINT = FIXTURES / "hf4-seg"
PICTURE = np.zeros((40, 48, 3), np.uint8)


def test_the_nearest_keyword_is_named_or_all_where_none_is_near():
    with pytest.raises(TypeError, match=r"^f got an unknown keyword 'strde': did you mean 'stride'\?$"):
        check_keywords("f", ["window", "strde"], ["window", "stride"])
    with pytest.raises(TypeError, match=r"^f got an unknown keyword 'qq': it takes stride, window\.$"):
        check_keywords("f", ["qq"], ["window", "stride"])


def test_a_checked_function_stays_what_it_was():
    @spell_checked
    def area(height, width=2):
        """Height times width."""
        return height * width

    assert (area(3), area(3, width=4), area.__doc__) == (6, 12, "Height times width.")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'height'"):
        area()


def test_a_function_that_takes_any_keyword_is_not_checked_so():
    with pytest.raises(TypeError, match=r"^f takes any keyword"):

        @spell_checked
        def f(one, **others):
            return one, others


def _classifier():
    return TFSegformerForImageClassification(SegformerConfig(**TINY))


@pytest.fixture(scope="module")
def model():
    return TFSegformerForSemanticSegmentation(SegformerConfig(**TINY))


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda m, d: SegformerConfig(num_label=3), "num_labels"),
        (lambda m, d: SegformerConfig.from_variant("b0", drop_path=0.2), "drop_path_rate"),
        (lambda m, d: SegformerConfig.from_dict({"made_by": "me"}, num_label=3), "num_labels"),
        (lambda m, d: SegformerConfig.from_pretrained(CHECKPOINT, revison="main"), "revision"),
        (lambda m, d: SegformerConfig().save_pretrained(d, push_to_hbu=True), "push_to_hub"),
        (lambda m, d: SegformerConfig().push_to_hub("me/x", privat=True), "private"),
        (lambda m, d: TFSegformerForSemanticSegmentation.from_pretrained(CHECKPOINT, num_label=3), "num_labels"),
        (lambda m, d: TFSegformerModel.from_pretrained("no/where", local_file_only=True), "local_files_only"),
        (lambda m, d: TFSegformerDecodeHead.from_pretrained(CHECKPOINT, revison="main"), "revision"),
        (lambda m, d: TFSegformerModel(SegformerConfig(), dataformat="channels_first"), "data_format"),
        (lambda m, d: TFSegformerDecodeHead(SegformerConfig(), dataformat="channels_first"), "data_format"),
        (lambda m, d: m(np.zeros((1, 32, 32, 3)), output_hidden_state=True), "output_hidden_states"),
        (lambda m, d: m.compile(optimiser="sgd"), "optimizer"),
        (lambda m, d: m.fit(PICTURE[None], batchsize=1), "batch_size"),
        (lambda m, d: m.train_on_batch(PICTURE[None], class_weigth={}), "class_weight"),
        (lambda m, d: _classifier().fit(PICTURE[None], batchsize=1), "batch_size"),
        (lambda m, d: m.evaluate(PICTURE[None], batchsize=1), "batch_size"),
        (lambda m, d: m.predict(PICTURE[None], batchsize=1), "batch_size"),
        (lambda m, d: m.test_on_batch(PICTURE[None], return_dic=True), "return_dict"),
        (lambda m, d: m.prepare_tf_dataset([], batchsize=1), "batch_size"),
        (lambda m, d: m.num_parameters(only_trainble=True), "only_trainable"),
        (lambda m, d: m.hf_compute_loss(logits=1, label=1), "labels"),
        (lambda m, d: _classifier().hf_compute_loss(logit=1, labels=1), "logits"),
        (lambda m, d: SegformerConfig().to_json_string(usediff=True), "use_diff"),
        (lambda m, d: SegformerImageProcessor().save_pretrained(save_dir=d), "save_directory"),
        (lambda m, d: m.save_pretrained(d, safe_serialisation=False), "safe_serialization"),
        (lambda m, d: m.push_to_hub("me/x", comit_message="x"), "commit_message"),
        (lambda m, d: convert.convert(CHECKPOINT, d, num_label=3), "num_labels"),
        (lambda m, d: SegformerImageProcessor(do_resice=False), "do_resize"),
        (lambda m, d: SegformerFeatureExtractor(do_resice=False), "do_resize"),
        (lambda m, d: SegformerImageProcessor()(PICTURE, return_tensor="np"), "return_tensors"),
        (lambda m, d: SegformerImageProcessor.from_dict({}, image_means=[0]), "image_mean"),
        (lambda m, d: SegformerImageProcessor.from_pretrained(CHECKPOINT, do_resice=False), "do_resize"),
        (lambda m, d: SegmentationPipeline.from_pretrained(CHECKPOINT, data_fromat="channels_last"), "data_format"),
        (lambda m, d: SegmentationPipeline.from_pretrained(CHECKPOINT, runtme="openvino"), "runtime"),
        (lambda m, d: SegmentationPipeline(m)(PICTURE, strides=(8, 8)), "stride"),
        (lambda m, d: SegmentationPipeline(m)(PICTURE).overlay(legends=True), "legend"),
        (lambda m, d: SegmentationPipeline(m)(PICTURE).save(d, overwritten=True), "overwrite"),
        (lambda m, d: ImageClassificationPipeline(_classifier())(PICTURE, topk=3), "top_k"),
        (lambda m, d: export(m, d, weight="int8"), "weights"),
        (lambda m, d: overlay(PICTURE, PICTURE[..., 0], None, alhpa=0.5), "alpha"),
        (lambda m, d: training.train(m, d, d, recepie=None), "recipe"),
        (lambda m, d: training.evaluate(m, d, protocoll="plain"), "protocol"),
        (lambda m, d: training.Protocol(windows=(8, 8)), "window"),
        (lambda m, d: training.Recipe(learning_rat=1.0), "learning_rate"),
        (lambda m, d: training.Augmentation(crops=(8, 8)), "crop"),
        (lambda m, d: training.SegmentationLoss(weight=[1.0]), "weights"),
        (lambda m, d: training.read_split(d, splitt="val"), "split"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:SegformerFeatureExtractor is the old name")
def test_a_misspelt_keyword_is_refused_and_the_right_one_named(model, tmp_path, call, right):
    with pytest.raises(TypeError, match=rf"got an unknown keyword '\w+': did you mean '{right}'\?"):
        call(model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cls", [SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation])
def test_what_programs_for_transformers_pass_is_taken_with_a_warning_where_it_would_do_something(cls):
    directory = ROOT / "weights" / "segformer-b0-camvid"
    nothing = {"trust_remote_code": False, "use_fast": False, "proxies": {}, "return_unused_kwargs": False}
    loaded = cls.from_pretrained(directory, **nothing)
    assert not hasattr(getattr(loaded, "config", loaded), "proxies")
    with pytest.warns(UserWarning, match="takes resume_download, use_fast from .* nothing with it: leave it") as told:
        cls.from_pretrained(directory, use_fast=True, resume_download=True)
    assert told[0].filename == __file__
    with pytest.raises(TypeError, match="unknown keyword 'return_unused_kwargs'"):
        cls.from_pretrained(directory, return_unused_kwargs=True)


HANDED_OUT = {"Exported", "ClassificationResult"}  # a tuple and a list, which nobody makes


def _documented():
    """The functions and classes of the API pages that take no other keywords than those they name."""
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
            if name.startswith("segformer_tf.batch."):  # needs its extra
                continue
            target = pydoc.locate(name)
            members = vars(target).items() if inspect.ismodule(target) else [(name.rpartition(".")[2], target)]
            for key, each in members:
                if key.startswith("_") or key in HANDED_OUT or not callable(each):
                    continue
                if inspect.ismodule(target) and each.__module__ != name:  # what it imports
                    continue
                kinds = {parameter.kind for parameter in inspect.signature(each).parameters.values()}
                if kinds and inspect.Parameter.VAR_KEYWORD not in kinds:
                    yield pytest.param(each, id=f"{name.removeprefix('segformer_tf.')}.{key}")


@pytest.mark.parametrize("target", list(_documented()))
def test_whatever_the_api_pages_name_refuses_a_misspelt_keyword(target):
    right = max(keywords_of(target.__init__ if inspect.isclass(target) else target), key=len)
    with pytest.raises(TypeError, match=rf"got an unknown keyword '{right}x': did you mean '{right}'\?"):
        target(**{f"{right}x": None})
