"""Label the pictures of a pattern with Apache Beam: masks, an index of JSON lines, and the dead letters.

    pip install '.[beam]'
    python examples/batch/beam_pipeline.py --input 'photos/*.jpg' --model exported/street/1 --output out

runs on this machine. Beam's own options choose another runner: `--runner DataflowRunner --project ... --region ...
--temp_location gs://...`, or `--runner FlinkRunner --flink_master ...`; model and output must then be in reach of all
workers, such as gs://bucket/model.
"""

import argparse
import json

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchFiles, ReadMatches
from apache_beam.options.pipeline_options import PipelineOptions

from segformer_tf.batch import BeamHandler
from segformer_tf.batch.on_beam import Segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="A pattern of Beam's file systems.")
    parser.add_argument("--output", required=True)
    parser.add_argument("--model", default="segformer-b0-camvid")
    known, rest = parser.parse_known_args()
    with beam.Pipeline(options=PipelineOptions(rest)) as pipeline:
        pictures = (
            pipeline
            | MatchFiles(known.input, empty_match_treatment=EmptyMatchTreatment.DISALLOW)
            | ReadMatches()
            | "Bytes" >> beam.Map(lambda file: (file.metadata.path, file.read()))
        )
        rows = pictures | Segment(BeamHandler(known.model, known.output))
        for name, collection in rows._asdict().items():
            lines = collection | f"{name} as JSON" >> beam.Map(json.dumps)
            _ = lines | f"Write {name}" >> beam.io.WriteToText(f"{known.output}/{name}", ".jsonl")


if __name__ == "__main__":
    main()
