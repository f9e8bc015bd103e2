# A thin front: the building is in meson.build, the installing in tools/install-deps.sh, the testing
# in tests/run_all.  Each target installs what it needs and the machine lacks, then does its work.
#
#   make            build/breakeven
#   make bench      the verdict for cnn-fashion on this machine
#   make test       every test; the last line counts them
#   make help       all targets

BUILD   = build
PREFIX  = /usr/local
JOBS    =
DEPS    = tools/install-deps.sh
# The workload of `make bench`, and more options for it: make bench BENCH="cnn-mnist --batch 32,256".
BENCH   = cnn-fashion
# What `make tensorflow` makes: cpu, or cuda for NVIDIA GPUs; empty: cpu, or what is there.
TENSORFLOW =
# The datasets that may stand beside the checkout; BREAKEVEN_DATA in the environment comes first.
DATASETS = ../shared/datasets
# Of each fuzz target; empty: 60 for `make fuzz`, 20 within `make test`.
FUZZ_SECONDS =

ifeq ($(origin BREAKEVEN_DATA),undefined)
ifneq ($(wildcard $(DATASETS)/.),)
export BREAKEVEN_DATA := $(abspath $(DATASETS))
endif
endif

NINJA  = ninja $(if $(JOBS),-j $(JOBS)) -C
SETUP  = meson setup
# Debian's PyTorch belongs to Debian's own python, whichever python3 is the first on PATH.
PYTHON := $(if $(wildcard /usr/bin/python3),/usr/bin/python3,python3)

# What the caller has set for other Pythons: these find their parts beside them, and end by themselves.
unexport PYTHONSAFEPATH PYTHONINSPECT PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS PYTHONDEVMODE

.PHONY: all bench test tensorflow mlx check asan ubsan tsan arm64 onednn3 fuzz nightly format install clean help deps deps-all

all: deps $(BUILD)/build.ninja
	@$(NINJA) $(BUILD) breakeven

deps:
	@$(DEPS) build

$(BUILD)/build.ninja: | deps
	@$(SETUP) $(BUILD) --prefix=$(PREFIX) -Dtests=false

bench: all
	@$(DEPS) peers
	$(BUILD)/breakeven bench $(BENCH)

# TensorFlow is a large download, so only this and the tests bring it; bench takes it if it is there.
tensorflow:
	@$(DEPS) tensorflow
	@tools/tensorflow-venv.sh $(TENSORFLOW)

# Likewise: Apple's framework, on Linux for its processor.
mlx:
	@$(DEPS) mlx
	@tools/mlx-venv.sh

test: deps-all
	@$(PYTHON) tests/run_all $(if $(FUZZ_SECONDS),--fuzz-seconds $(FUZZ_SECONDS))

check: deps-all
	@$(PYTHON) tests/run_all check

asan ubsan tsan arm64 onednn3: deps-all
	@$(PYTHON) tests/run_all $@

nightly: deps-all
	@$(PYTHON) tests/run_all nightly

fuzz: deps-all
	@$(PYTHON) tests/run_all fuzz $(if $(FUZZ_SECONDS),--fuzz-seconds $(FUZZ_SECONDS))

deps-all:
	@$(DEPS) build test peers tensorflow mlx check arm64 onednn3 browser

format:
	@$(DEPS) check
	@tools/check_format.sh --fix

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@meson install -C $(BUILD)

clean:
	rm -rf build build-test build-asan build-ubsan build-tsan build-fuzz \
		build-arm64 build-arm64-root build-onednn3 build-onednn3-root build-kernels

help:
	@echo 'make            install what is missing and build build/breakeven'
	@echo 'make bench      which device wins for cnn-fashion here (BENCH="WORKLOAD OPTION...")'
	@echo 'make test       every test: strict build, unit, python, checks, sanitizers, fuzzing'
	@echo 'make tensorflow TensorFlow from PyPI, to be measured too (TENSORFLOW=cuda: with CUDA)'
	@echo 'make mlx        MLX from PyPI, to be measured too'
	@echo 'make check      form, include direction, sizes and text of the source'
	@echo 'make asan       the unit tests under AddressSanitizer and UBSan'
	@echo 'make ubsan      the unit tests under clang'"'"'s UBSan'
	@echo 'make tsan       the unit tests under ThreadSanitizer'
	@echo 'make arm64      the machine tests built for arm64, under qemu (Debian on x86-64)'
	@echo 'make onednn3    the machine tests with oneDNN 3 instead of the system'"'"'s'
	@echo 'make fuzz       every fuzz target for FUZZ_SECONDS each (60)'
	@echo 'make nightly    kernels for all of NVIDIA'"'"'s architectures'
	@echo 'make format     clang-format over the source'
	@echo 'make install    into PREFIX (/usr/local), below DESTDIR if that is set'
	@echo 'make clean      remove the build folders'
