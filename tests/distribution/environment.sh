# Sourced by the checks of this folder: a temporary folder with the built wheel, and environments outside the checkout.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
checkout=$PWD
uv=$checkout/.venv/bin/uv
python=$checkout/.venv/bin/python
[ -n "${UV_DEFAULT_INDEX:-}" ] || unset UV_DEFAULT_INDEX
work=$(mktemp -d -t lifecycle-check.XXXXXX)
trap 'rm -rf "$work"' EXIT

build_wheel() { # sets wheel and version; the build backend comes from the lock
  "$uv" build --quiet --python "$python" --no-build-isolation --offline --out-dir "$work/dist" .
  wheel=$(echo "$work"/dist/*.whl)
  version=$(basename "$wheel" | cut -d- -f2)
}

make_environment() { # make_environment FOLDER: an empty environment of the same Python
  "$uv" venv --quiet --python "$python" "$1"
}
