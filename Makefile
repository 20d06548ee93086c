# `make demo` and `make test` need only Python 3.10 to 3.13 and make; each target makes the environment that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check
OUT ?= out

.PHONY: demo test lint format parity parity-short bench bench-quick agreement serving runtimes camvid keras-io digits test-runtimes soak clean

demo: $(VENV)/.core
	$(BIN)/segformer-tf segment examples/china.jpg --output $(OUT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Against PyTorch, transformers 5 and Keras' other backends, then against transformers 4.57's own TensorFlow classes, each in
# an environment of its own; `parity` takes b0 to b5, `parity-short` b0 and b2.
parity: export SEGFORMER_TF_PARITY := long
parity parity-short: .venv-parity/.made .venv-hf4/.made
	.venv-parity/bin/python -m pytest tests/parity --ignore-glob='*test_transformers4*'
	.venv-hf4/bin/python -m pytest tests/parity/test_transformers4.py tests/parity/test_transformers4_migration.py -W ignore

# The bundled model's labels beside transformers' own, on CamVid; IMAGES= (empty) takes all 101 validation pictures.
CAMVID ?= ../shared/data/camvid
IMAGES ?= 10
agreement: .venv-parity/.made
	.venv-parity/bin/python benchmarks/camvid_agreement.py --data $(CAMVID) $(if $(IMAGES),--images $(IMAGES))

# The same pictures through every way of serving, and through the other runtimes: their labels beside the pipeline's.
serving: $(VENV)/.dev
	$(BIN)/python benchmarks/serving_agreement.py --data $(CAMVID) --images $(IMAGES)

runtimes: $(VENV)/.export
	$(BIN)/python benchmarks/runtime_agreement.py --data $(CAMVID) --images $(IMAGES)

# The bundled model from random weights: an hour on two cores; goes on where it was stopped.
camvid: $(VENV)/.core
	$(BIN)/segformer-tf train --data $(CAMVID) --model b0 --output $(OUT)/camvid --recipe docs/camvid/recipe.json \
		$(if $(wildcard $(OUT)/camvid/recipe.json),--resume)
	$(BIN)/segformer-tf evaluate --model $(OUT)/camvid/best --data $(CAMVID)

# The old keras.io fine-tuning flow on real pictures; fails unless the loss falls.
keras-io: $(VENV)/.dev
	$(BIN)/python examples/keras_io_finetuning.py --data $(CAMVID) --limit 24

# The classifier on scikit-learn's digits, two minutes; prints the accuracy on those held out.
digits: $(VENV)/.dev
	$(BIN)/python -W ignore examples/finetune_classification.py

# Exports to ONNX, OpenVINO and LiteRT, run by those runtimes; needs the extra [export].
test-runtimes: $(VENV)/.export
	$(BIN)/python -m pytest tests/export/runtimes

# Eight clients against the local server for five minutes; writes its table into docs/serving.md.
soak: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_serving.py --seconds 300 --write

$(VENV)/.export: setup.cfg setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) -e '.[dev,export]'
	touch $@ $(VENV)/.dev $(VENV)/.core

$(VENV)/.core: setup.cfg setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) -e .
	touch $@

$(VENV)/.dev: setup.cfg setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) -e '.[dev]'
	touch $@ $(VENV)/.core

# torch first, at the version whose CPU build is small; what follows then takes it as it is.
.venv-parity/.made: setup.cfg setup.py
	test -x .venv-parity/bin/python || $(PYTHON) -m venv .venv-parity
	.venv-parity/bin/pip install $(PIP_FLAGS) torch==2.13.0
	.venv-parity/bin/pip install $(PIP_FLAGS) 'transformers>=5,<6' jax pytest hypothesis -e .
	touch $@

.venv-hf4/.made: setup.cfg setup.py
	test -x .venv-hf4/bin/python || $(PYTHON) -m venv .venv-hf4
	.venv-hf4/bin/pip install $(PIP_FLAGS) torch==2.13.0
	.venv-hf4/bin/pip install $(PIP_FLAGS) transformers==4.57.6 tf-keras pytest hypothesis -e .
	touch $@

.venv-keras-hub/.made: setup.cfg setup.py
	test -x .venv-keras-hub/bin/python || $(PYTHON) -m venv .venv-keras-hub
	.venv-keras-hub/bin/pip install $(PIP_FLAGS) keras-hub tensorflow
	touch $@

.venv-runtimes/.made: Makefile
	test -x .venv-runtimes/bin/python || $(PYTHON) -m venv .venv-runtimes
	.venv-runtimes/bin/pip install $(PIP_FLAGS) torch==2.13.0
	.venv-runtimes/bin/pip install $(PIP_FLAGS) 'transformers>=5,<6' onnx onnxscript onnxruntime openvino
	touch $@

# Nothing but what a user installs: Keras loads scikit-learn where it is found, which costs a second at every start.
.venv-core/.made: setup.cfg setup.py
	test -x .venv-core/bin/python || $(PYTHON) -m venv .venv-core
	.venv-core/bin/pip install $(PIP_FLAGS) -e .
	touch $@

# This package beside the peers that those environments hold; writes its tables into docs/benchmarks.md.
PEERS := .venv-parity/.made .venv-runtimes/.made .venv-hf4/.made .venv-keras-hub/.made
bench: $(VENV)/.export .venv-core/.made $(PEERS)
	$(BIN)/python benchmarks/bench_models.py --write
	$(BIN)/python benchmarks/bench_training.py --write
	CAMVID=$(CAMVID) $(BIN)/python benchmarks/bench_pictures.py --write
	$(BIN)/python benchmarks/bench_cost.py --write
	.venv-core/bin/python benchmarks/bench_start.py
	$(BIN)/python benchmarks/plots.py

bench-quick: $(VENV)/.export $(PEERS)
	$(BIN)/python benchmarks/bench_models.py --quick

clean:
	rm -rf $(OUT) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
