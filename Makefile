# Everything that this repository can do; each target makes the environment that it needs. `make` alone lists them.
# Needed: Python 3.10 to 3.13 and make.
PYTHON ?= python3
OUT ?= out
CAMVID ?= ../shared/data/camvid
IMAGES ?= 10
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint format test-oldest test-newest parity parity-short scores-parity agreement \
	serving runtimes test-runtimes bench bench-quick bench-before bench-pipeline bench-gpu soak hostile kills fuzz supply audit sbom \
	camvid keras-io digits clean test-batch test-batch-short test-distributed test-servers many fuzz-million training-kills \
	test-page test-page-short page-pictures docs docs-pictures notebooks

help:  ## list the targets
	@awk -F ':.*## ' '/^## /{print "\n" substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile

## Begin here
demo: .venv/.core  ## segment examples/china.jpg with the bundled model: overlay, labels and JSON in out/
	$(BIN)/segformer-tf segment examples/china.jpg --output $(OUT)

test: .venv/.dev  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-long: .venv/.dev  ## the tests that take long: whole runs, killed and gone on; stories from end to end
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m long

## Before a change lands (.ci/run does all of it)
lint: .venv/.dev  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/.dev  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-oldest: .venv-oldest/.made  ## the tests with the oldest versions that setup.cfg admits
	.venv-oldest/bin/python -m pytest --numprocesses 2 --dist loadfile $(OLDEST_TESTS)

test-newest: .venv-newest/.made  ## the tests with the newest versions that setup.cfg admits
	.venv-newest/bin/python -m pytest --numprocesses 2 --dist loadfile

## Proofs against other programs
parity: export SEGFORMER_TF_PARITY := long
parity parity-short: .venv-parity/.made .venv-hf4/.made
	.venv-parity/bin/python -m pytest tests/parity --ignore-glob='*test_transformers4*'
	.venv-hf4/bin/python -m pytest tests/parity/test_transformers4.py tests/parity/test_transformers4_migration.py -W ignore
parity:  ## b0 to b5 against PyTorch, transformers 4.57 (TensorFlow) and 5, and Keras' other backends
parity-short:  ## the same with b0 and b2

MEAN_IOU ?= mean_iou
scores-parity: .venv-scores/.made .venv-corruptions/.made .venv/.dev  ## scores and corruptions beside the field's programs (Python 3.10 or 3.11)
	.venv-scores/bin/python -W ignore tests/fixtures/scores/make.py $(MEAN_IOU)
	.venv-corruptions/bin/python -W ignore tests/fixtures/corruptions/make.py
	$(BIN)/python -m pytest tests/training/scoring/test_programs.py tests/training/scoring/test_corruptions.py

agreement: .venv-parity/.made  ## the bundled model's labels beside transformers' on CamVid; IMAGES= takes all 101 pictures
	.venv-parity/bin/python benchmarks/agreement/camvid.py --data $(CAMVID) $(if $(IMAGES),--images $(IMAGES))

serving: .venv/.dev  ## labels of ten pictures through every way of serving
	$(BIN)/python benchmarks/agreement/serving.py --data $(CAMVID) --images $(IMAGES)

runtimes: .venv/.export  ## the same through ONNX Runtime, OpenVINO and LiteRT
	$(BIN)/python benchmarks/agreement/runtimes.py --data $(CAMVID) --images $(IMAGES)

test-batch: .venv-batch/.made  ## segment-many on Ray, the handler on Beam, S3 and GCS servers of this machine
	.venv-batch/bin/python -m pytest tests/batch -o addopts='-q --import-mode=importlib'

test-batch-short: .venv-batch/.made  ## one test of either engine
	.venv-batch/bin/python -m pytest tests/batch/engines -o addopts='-q --import-mode=importlib' -k 'ray_gives or beam_gives'

NPM := examples/browser/node_modules/.made
PAGE := .venv-demo/bin/python -m pytest -o addopts='-q --import-mode=importlib' tests/page/chromium
test-page: .venv-demo/.made $(NPM)  ## the demo page and the page without a server, in Chromium (CHROMIUM=/usr/bin/chromium)
	$(PAGE)

test-page-short: .venv-demo/.made $(NPM)  ## one test of either page
	$(PAGE) -k 'webassembly_gives or upload_is_labelled'

page-pictures: .venv-demo/.made  ## the pictures of docs/demo.md
	.venv-demo/bin/python tests/page/chromium/pictures.py

test-distributed: .venv/.dev  ## two devices, two processes and a killed worker learn what one process does
	$(BIN)/python -m pytest tests/distributed -o addopts='-q --import-mode=importlib'

test-servers: .venv/.dev .venv-kserve/.made .venv-triton/.made  ## the exported model behind KServe's server and NVIDIA's Triton
	$(BIN)/python -m pytest tests/servers -o addopts='-q --import-mode=importlib'

many: .venv-batch/.made  ## segment-many over 3,000 pictures, killed at 20 random moments, 12 minutes
	.venv-batch/bin/python benchmarks/scale/many.py $(CAMVID)/images/val --pictures 3000 --kills 20 --moment 40

test-runtimes: .venv/.export  ## the tests of the exported files in those runtimes
	$(BIN)/python -m pytest tests/export/runtimes

## Speed (benchmarks/README.md)
PEERS := .venv-parity/.made .venv-runtimes/.made .venv-hf4/.made .venv-keras-hub/.made
bench: .venv/.export .venv-core/.made $(PEERS)  ## all tables of docs/benchmarks.md, more than an hour
	$(BIN)/python benchmarks/speed/models.py --write
	$(BIN)/python benchmarks/speed/training.py --write
	CAMVID=$(CAMVID) $(BIN)/python benchmarks/speed/pictures.py --write
	$(BIN)/python benchmarks/speed/cost.py --write
	$(BIN)/python benchmarks/speed/plots.py
	.venv-core/bin/python benchmarks/speed/start.py --python $(BIN)/python

bench-quick: .venv/.export $(PEERS)  ## b0 beside its peers, two minutes
	$(BIN)/python benchmarks/speed/models.py --quick

bench-before: .venv/.export  ## this tree beside an earlier commit of itself, half an hour
	$(BIN)/python benchmarks/speed/before.py --write

bench-pipeline: .venv/.export  ## the pipeline, `segment` and `evaluate` beside the model alone, 15 minutes
	$(BIN)/python benchmarks/speed/pipeline.py --data $(CAMVID) --memory --write

bench-gpu: .venv/.export  ## inference and training on a GPU beside PyTorch's; says so where there is none
	$(BIN)/python benchmarks/speed/gpu.py --write

soak: .venv/.dev  ## eight clients against the local server for five minutes; writes docs/serving.md's table
	$(BIN)/python benchmarks/speed/serving.py --seconds 300 --write

## Trust (docs/security.md)
kills: .venv/.dev  ## kill -9 at 1,000 moments of every kind of save, ten minutes
	$(BIN)/python benchmarks/trust/kills.py --kills 1000

fuzz: .venv/.dev  ## mutated files for every reader, ten minutes
	$(BIN)/python benchmarks/trust/fuzz.py --seconds 600 --keep $(OUT)/fuzz

fuzz-million: .venv/.dev  ## a million of them, an hour of one core; goes on where it was stopped
	$(BIN)/python benchmarks/trust/fuzz.py --inputs 1000000 --seed 1 --progress $(OUT)/fuzz.json --keep $(OUT)/fuzz

training-kills: .venv/.dev  ## training killed 50 times ends with the same weights, 15 minutes
	$(BIN)/python benchmarks/trust/training_kills.py --kills 50

hostile: .venv/.dev  ## the local server between good and hostile clients for two minutes; an hour: SECONDS=3600
	$(BIN)/python benchmarks/trust/serving.py --seconds $(or $(SECONDS),120)

supply: .venv/.dev  ## the wheel twice byte for byte; a read-only installation, run by a user who is not root
	$(BIN)/python benchmarks/trust/supply.py

audit: .venv/.dev .venv-audit/.made  ## known weaknesses of what is installed, where a registry of advisories answers
	.venv-audit/bin/pip-audit --path $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

sbom: .venv/.dev .venv-audit/.made  ## what is installed, in CycloneDX's format: out/sbom.json
	mkdir -p $(OUT)
	.venv-audit/bin/cyclonedx-py environment $(BIN)/python --output-file $(OUT)/sbom.json

## Training
camvid: .venv/.dev  ## the bundled model from random weights: minutes on a GPU, six hours on two cores; goes on where it was stopped
	$(BIN)/segformer-tf train --data $(CAMVID) --model b0 --output $(OUT)/camvid --recipe docs/camvid/recipe.json \
		$(if $(wildcard $(OUT)/camvid/recipe.json),--resume)
	$(BIN)/segformer-tf evaluate --model $(OUT)/camvid/best --data $(CAMVID)
	$(BIN)/segformer-tf calibrate $(OUT)/camvid/best --data $(CAMVID) --diagram $(OUT)/camvid/reliability.png

keras-io: .venv/.dev  ## the old keras.io fine-tuning flow on real pictures; fails unless the loss falls
	$(BIN)/python examples/keras_io_finetuning.py --data $(CAMVID) --limit 24

digits: .venv/.dev  ## a classifier on scikit-learn's digits, two minutes
	$(BIN)/python -W ignore examples/finetune_classification.py

## Pages
docs: .venv-docs/.made  ## the pages as a site in out/site; fails at a dead link, or a call to another host
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build
	@! grep -rlE '<(script|link|img|iframe)[^>]*(src|href)="https?:|url\(["'"'"']?https?:' --include=*.html --include=*.css out/site

docs-pictures: .venv/.export  ## draw every picture of the pages anew, from the tables there and with the bundled model
	$(BIN)/python benchmarks/speed/plots.py
	$(BIN)/python docs/drawings.py

notebooks: .venv-docs/.made  ## run examples/notebooks, three minutes; WRITE=1 keeps what they show
	.venv-docs/bin/python examples/notebooks/run.py $(if $(WRITE),--write)

## The rest
clean:  ## remove what builds and tests leave; environments stay
	rm -rf $(OUT) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# Environments. .venv is the one to work in; its stamps say which extras are installed.
PIP := bin/pip install --quiet --disable-pip-version-check

.venv/.%: setup.cfg setup.py
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/$(PIP) -e '.$(EXTRAS_$*)'
	touch $@ $(addprefix .venv/.,$(ALSO_$*))
EXTRAS_dev := [dev]
ALSO_dev := core
EXTRAS_export := [dev,export,int8]
ALSO_export := core dev

# The others hold what PACKAGES_NAME lists, after FIRST_NAME: torch comes first, at the version whose CPU build is small.
.venv-%/.made: setup.cfg setup.py
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	$(if $(FIRST_$*),.venv-$*/$(PIP) $(FIRST_$*))
	$(if $(UV_$*),.venv-$*/$(PIP) uv && .venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python $(UV_$*))
	.venv-$*/$(PIP) $(UPGRADE_$*) $(PACKAGES_$*)
	touch $@
FIRST_parity := torch==2.13.0
PACKAGES_parity := 'transformers>=5,<6' jax pytest hypothesis -e .
FIRST_hf4 := torch==2.13.0
PACKAGES_hf4 := transformers==4.57.6 tf-keras pytest hypothesis -e .
# Notebooks need the package with what they export to and serve by; the site reads docstrings only.
PACKAGES_docs := -e '.[report,export,serve]' ipykernel nbclient nbconvert scikit-learn mkdocs-material 'mkdocstrings[python]' ruff
PACKAGES_audit := pip-audit cyclonedx-bom
PACKAGES_keras-hub := keras-hub tensorflow
# Ray and Beam lower Pillow and protobuf, so they have an environment to themselves.
PACKAGES_batch := -e '.[ray,beam]' pytest hypothesis 'moto[server]' s3fs gcp-storage-emulator gcsfs simpy
PACKAGES_kserve := kserve tensorflow
PACKAGES_triton := nvidia-pytriton tensorflow
# Gradio lowers Pillow.
PACKAGES_demo := -e '.[demo]' playwright pytest hypothesis onnx tf2onnx onnxruntime
FIRST_runtimes := torch==2.13.0
PACKAGES_runtimes := 'transformers>=5,<6' onnx onnxscript onnxruntime openvino
# MMSegmentation 1.2 refuses mmcv from 2.2 on. imagecorruptions is of 2020: old numpy, and scikit-image's last that goes with it.
FIRST_scores := torch==2.13.0
PACKAGES_scores := mmsegmentation==1.2.2 'mmcv-lite<2.2' mmengine ftfy regex torchmetrics cityscapesscripts evaluate
FIRST_corruptions := --only-binary :all: 'numpy<2' scikit-image==0.20.0 'opencv-python-headless<4.11' 'scipy<1.12' 'setuptools<80'
PACKAGES_corruptions := --no-deps imagecorruptions==1.1.2
# Nothing but what a user installs: Keras loads scikit-learn where it is found, which costs a second at every start.
PACKAGES_core := -e .
# The lowest version of each direct dependency; serving's packages would raise them, so its tests stay out.
# The tests' own packages are old ones too: newer ones would raise numpy.
UV_oldest := --resolution lowest-direct -e .
PACKAGES_oldest := pytest pytest-xdist hypothesis pyyaml setuptools 'numpy<1.26.1' 'scikit-learn<1.6' 'scipy<1.14' 'tifffile<2025' av 'rasterio<1.5' isal
OLDEST_TESTS := tests/images tests/checkpoints tests/models tests/storage tests/pipelines tests/cli/test_pictures.py \
	tests/test_config.py tests/test_convert.py tests/test_architecture.py
UPGRADE_newest := --upgrade
PACKAGES_newest := -e '.[dev]'

$(NPM): examples/browser/package.json
	npm install --prefix examples/browser --ignore-scripts --no-audit --no-fund
	touch $@
