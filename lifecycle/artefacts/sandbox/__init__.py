"""A sandbox: a real server process that gets a candidate's bundle before any other server does.

Modelled on the InfraValidator of TensorFlow Extended, which loads a candidate in a sandboxed model server and sends it
requests before the model is pushed (https://www.tensorflow.org/tfx/guide/infra_validator). `probe.probe` is the one
entry: it returns the evidence of the gates `consistent` and `servable`.
"""
