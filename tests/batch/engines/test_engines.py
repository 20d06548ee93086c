"""`segment_many` on a local Ray, the handler on Beam's local runner, and both in a bucket of moto's S3 server.

They run in an environment of their own: `make test-batch`.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reference import ROOT

from segformer_tf import SegmentationPipeline
from segformer_tf.batch import inputs
from segformer_tf.batch.labeller import mask_name
from segformer_tf.batch.store import Store, StoreError

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the engines' own
]


WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # else a head node asks for one where ~/.ray has it


@pytest.fixture(scope="module")
def expected(tiny_model, photos):
    """name -> labels, as the pipeline gives them; nothing for the broken picture."""
    segment = SegmentationPipeline.from_pretrained(tiny_model)
    return {str(file): segment(file).labels for file in sorted(photos.rglob("p*.jpg")) if file.name != "p03.jpg"}


@pytest.fixture(scope="module")
def bucket():
    """(URL of a bucket, its boto client) of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIASEGFORMER",
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="streets")
    yield "s3://streets", client
    server.stop()


def rows_of(place):
    files = sorted((place / "index").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def check(place, photos, expected):
    rows = rows_of(place)
    assert [row["number"] for row in rows] == list(range(11))
    assert [row["input"] for row in rows] == [item.shown for item in inputs.find(photos)]
    for row in rows:
        if row["input"] in expected:
            assert np.array_equal(np.asarray(Image.open(place / row["mask"])), expected[row["input"]])
        else:
            assert row["status"] == "failed" and "not an image" in row["error"] and row["mask"] is None


def test_ray_gives_the_pipelines_masks_one_row_each_and_goes_on_after_kill_9(tiny_model, photos, expected, tmp_path):
    command = [sys.executable, "-m", "segformer_tf.cli", "segment-many", str(photos), str(tmp_path / "out")]
    command += ["--model", tiny_model, "--workers", "2", "--pictures-per-shard", "4", "--json"]
    # Without --address the job is this machine's, whatever cluster the caller's shell names.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "127.0.0.1:1"}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    masks = tmp_path / "out" / "masks"
    end = time.monotonic() + 400
    while not list(masks.rglob("*.png")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)  # the whole of it, Ray's own processes too
    process.wait()
    subprocess.run(command, env=environment, check=True, timeout=400)
    check(tmp_path / "out", photos, expected)
    again = subprocess.run(command, env=environment, check=True, timeout=400, capture_output=True, text=True)
    assert '"pictures": 0' in again.stdout and '"skipped": 11' in again.stdout
    about = json.loads((tmp_path / "out" / "job.json").read_text())
    (tmp_path / "out" / "job.json").write_text(json.dumps({**about, "worker": "another"}))
    other = subprocess.run(command, env=environment, timeout=400, capture_output=True, text=True)
    assert other.returncode and "expected another as the job began with" in other.stderr


def test_an_actor_that_is_killed_is_replaced_and_nothing_is_lost(tiny_model, photos, expected, tmp_path):
    """In a process of its own, with a bucket nobody needs: the actor is found by the file that it writes first."""
    code = """
import os, signal, sys
from segformer_tf.batch import on_ray, segment_many
from segformer_tf.batch.labeller import Labeller
from segformer_tf.batch.store import Store
class Dying(Store):
    def put(self, name, data):
        super().put(name, data)
        flag = os.path.join(self.place, "died")
        if name.startswith("masks") and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
on_ray.Store = Dying
print(segment_many(sys.argv[1], sys.argv[2], sys.argv[3], workers=1))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [str(photos), str(tmp_path / "out"), tiny_model]
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, timeout=400)
    assert (tmp_path / "out" / "died").exists()
    check(tmp_path / "out", photos, expected)


@pytest.mark.parametrize("address", [None, "cluster"])
def test_what_a_worker_came_to_is_told_in_its_own_sentence(address, tiny_model, photos, tmp_path, request):
    """A disk that is full for the workers, by a limit of each file's size."""
    address = address and request.getfixturevalue(address)
    code = """
import sys
from segformer_tf.batch import on_ray, segment_many
from segformer_tf.batch.store import Store
class Full(Store):
    def put(self, name, data):
        if name.startswith("masks"):
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        super().put(name, data)
on_ray.Store = Full
try:
    segment_many(sys.argv[1], sys.argv[2], sys.argv[3], workers=1, address=sys.argv[4] or None)
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **WITHOUT_TOKEN}
    arguments = [str(photos), str(tmp_path / "out"), tiny_model, address or ""]
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, timeout=400, capture_output=True, text=True
    )
    assert run.stdout.startswith(("StoreError Cannot write", f"StoreError {tmp_path}/out")), run.stdout + run.stderr
    assert f"{tmp_path}/out/masks/" in run.stdout and "File too large" in run.stdout
    assert "ray::" not in run.stdout and len(run.stdout) < 500 and "Traceback" not in run.stderr


def test_a_cluster_that_is_not_there_is_told_in_good_time(tiny_model, photos, tmp_path):
    from segformer_tf.batch import segment_many

    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=r"No Ray cluster answers at 127.0.0.1:1 .*ray start --head"):
        segment_many(photos, tmp_path, tiny_model, address="127.0.0.1:1")
    assert time.monotonic() - begin < 60


@pytest.fixture
def cluster(tmp_path):
    """The address of a Ray head node of its own on this machine."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray = os.path.join(os.path.dirname(sys.executable), "ray")
    command = [ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=3", "--include-dashboard=false"]
    command += [f"--temp-dir={tempfile.mkdtemp(prefix='ray')}"]  # a short path: sockets lie in it
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", **WITHOUT_TOKEN}
    head = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while time.monotonic() < end and head.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.5)
    yield f"127.0.0.1:{port}"
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()


def test_a_cluster_decodes_by_tasks_and_gives_the_same_rows(cluster, tiny_model, photos, expected, tmp_path):
    """Of relative places, though the cluster's workers run in a directory of their own."""
    places = [os.path.relpath(place, tmp_path) for place in (photos, tmp_path / "out", tiny_model)]
    command = [sys.executable, "-m", "segformer_tf.cli", "segment-many", *places[:2], "--model", places[2]]
    command += ["--address", cluster, "--workers", "1", "--pictures-per-shard", "4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **WITHOUT_TOKEN}
    subprocess.run(command, env=environment, check=True, timeout=400, cwd=tmp_path)
    check(tmp_path / "out", photos, expected)


def run_beam(files, output, model, **options):
    import apache_beam as beam

    from segformer_tf.batch import BeamHandler
    from segformer_tf.batch.on_beam import Segment

    pipeline = beam.Pipeline("DirectRunner")
    handler = BeamHandler(model, str(output), **options)
    rows = pipeline | beam.Create(files) | Segment(handler)
    for name, collection in rows._asdict().items():
        lines = collection | f"{name} lines" >> beam.Map(lambda row: f"{row['input']}\t{row['mask']}")
        _ = lines | f"{name} file" >> beam.io.WriteToText(str(output / name), shard_name_template="")
    result = pipeline.run()
    result.wait_until_finish()
    counted = result.metrics().query(beam.metrics.MetricsFilter().with_namespace("segformer_tf"))["counters"]
    read = {name: (output / name).read_text().splitlines() for name in rows._fields}
    return read, {counter.key.metric.name: counter.result for counter in counted}


def test_beam_gives_the_pipelines_masks_dead_letters_and_counts(tiny_model, photos, expected, tmp_path):
    files = [(str(file), file.read_bytes()) for file in sorted(photos.rglob("p*.jpg"))]
    read, counted = run_beam(files, tmp_path, tiny_model, batch_pixels=20_000)
    found = dict(line.split("\t") for line in read["done"])
    assert set(found) == set(expected)
    for name, mask in found.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / mask)), expected[name])
    assert [line.split("\t")[0].rpartition("/")[2] for line in read["failed"]] == ["p03.jpg"]
    assert (counted["done"], counted["failed"]) == (10, 1)
    with pytest.raises(FileNotFoundError, match="holds no pictures"):  # masks, which are no later job's
        inputs.find(tmp_path)


def test_the_example_on_beam_refuses_a_pattern_that_matches_nothing(tmp_path):
    command = [sys.executable, ROOT / "examples/batch/beam_pipeline.py", "--input", f"{tmp_path}/*.jpg"]
    command += ["--output", tmp_path / "out", "--runner", "DirectRunner"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, timeout=400, capture_output=True, text=True)
    assert run.returncode and "Empty match for pattern" in run.stderr


def check_store(url, model, photos, expected) -> Store:
    """The pictures of URL/in are labelled into URL/out, the store that is given back."""
    from segformer_tf.batch.labeller import Labeller

    items = inputs.find(f"{url}/in")
    assert len(items) == 11 and inputs.encoded(items[0]) == (photos / "p00.jpg").read_bytes()
    store = Store(f"{url}/out")
    rows = list(Labeller(model, store).rows((item.number, item.shown, item) for item in items))
    by_name = {name.rpartition("/")[2]: labels for name, labels in expected.items()}
    assert sum(row["status"] == "done" for row in rows) == 10
    for row in rows:
        if row["mask"]:
            mask = Image.open(io.BytesIO(store.get(row["mask"])))
            assert np.array_equal(np.asarray(mask), by_name[row["input"].rpartition("/")[2]])
    assert store.names("masks/000000") == {
        mask_name(row["number"], "").rpartition("/")[2] for row in rows if row["mask"]
    }
    return store


def test_google_s_store_is_read_and_written(tiny_model, photos, expected, monkeypatch):
    """By gcsfs, against an emulator of this machine; without the look at a bucket's kind, which asks Google itself."""
    from http.server import ThreadingHTTPServer

    from gcp_storage_emulator import server as emulator

    monkeypatch.setattr(emulator.server, "HTTPServer", ThreadingHTTPServer)  # it waits for each connection's end
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="roads")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server._api._httpd.server_port}")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    for file in photos.rglob("p*.jpg"):
        Store("gs://roads/in").put(file.name, file.read_bytes())
    store = check_store("gs://roads", tiny_model, photos, expected)
    assert store.get("masks/none.png") is None and store.names("masks/none") == set()
    server.stop()


def test_a_bucket_is_read_and_written_and_parts_of_an_upload_are_never_seen(bucket, tiny_model, photos, expected):
    url, client = bucket
    for file in photos.rglob("p*.jpg"):
        client.upload_file(str(file), "streets", f"in/{file.name}")
    store = check_store(url, tiny_model, photos, expected)
    upload = client.create_multipart_upload(Bucket="streets", Key="out/masks/000000/half.png")
    client.upload_part(
        Bucket="streets", Key="out/masks/000000/half.png", UploadId=upload["UploadId"], PartNumber=1, Body=b"1" * 2**20
    )
    assert store.get("masks/000000/half.png") is None and "half.png" not in store.names("masks/000000")


def test_a_store_that_denies_access_or_is_away_is_told_without_the_keys(bucket, caplog):
    with caplog.at_level("DEBUG", "segformer_tf"), pytest.raises((StoreError, FileNotFoundError)) as told:
        Store("s3://nobodys-bucket/out", patience=0.1).put("a.png", b"1")
    assert "nobodys-bucket" in str(told.value) and "hush" not in str(told.value) + caplog.text
