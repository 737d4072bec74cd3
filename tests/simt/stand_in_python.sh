#!/bin/bash
# SPDX-License-Identifier: MIT
# In the place of python3: answers what bench/peers/torch_peer.py would where Liger-Kernel is installed and
# QuACK is not, with made-up times. Its rms norm is wrong, its softmax not finite, it has no batch norm.
[[ $3 == *'class Liger'* ]] || exit 1
while read -r line; do
  case $line in
    *'"peer":"quack"'*) echo '{"error":"RuntimeError: no quack-kernels in this Python"}' ;;
    *'"device":'*) echo "{\"version\":\"stand-in of ${line:9:5}\"}" ;;
    *'"op":"batch_norm"'*) echo '{"error":"ValueError: no such op"}' ;;
    *'"op":"rms_norm"'*'"gate":true'*) echo '{"modes":["cold","hot"],"off":0.5}' ;;
    *'"op":"softmax_xent"'*'"gate":true'*) echo '{"modes":["cold","hot"],"off":"Infinity"}' ;;
    *'"gate":true'*) echo '{"modes":["cold","hot"],"note":"its way","off":1e-7}' ;;
    *'"prepare":'*) echo '{"modes":["cold","hot"],"note":"not looked at"}' ;;
    *) echo '{"ns":1000.0}' ;;
  esac
done
