"""The end of a server: what has come in is answered, and nothing holds it up for longer than its deadline."""

import base64
import socket
import threading
import time

from small_servables import predict_request, rest, serving, stub, until

from segformer_tf.serving.limits import Limits

GOOD = {"instances": [{"b64": base64.b64encode(b"picture").decode()}]}


def test_everything_that_came_in_is_answered(directory):
    count = 60
    with serving(directory, max_batch_size=2) as server:
        with server.model.using() as version:
            run = version.servable.run

        def slow(*arguments):
            time.sleep(0.02)
            return run(*arguments)

        version.servable.run = slow
        answers = []

        def ask(i):
            if i % 2:
                answers.append(rest(server, GOOD)[0])
            else:
                answers.append(200 if stub(server).Predict(predict_request(image_bytes=[b"x"])) else 0)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        assert until(lambda: server.gate.requests > count / 2)
    for thread in threads:
        thread.join()
    assert answers == [200] * count


def test_half_a_body_does_not_hold_up_the_end(directory):
    with serving(directory, limits=Limits(stop_timeout=1)) as server:
        half = socket.create_connection(("127.0.0.1", server.rest_port))
        half.sendall(b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        assert rest(server, GOOD)[0] == 200
        start = time.monotonic()
    assert time.monotonic() - start < 10
    half.close()
