# make          builds build/ekirei
# make run      builds it and plays the story of who may send (ekirei demo)
# make test     every test: checks, unit, talk and end-to-end, then unit and talk again under ASan and UBSan (clang), and each fuzz target for 10 s
# make check    only the checks of the source: floors, sizes, words, and that what is made from it is up to date
# make coverage how much of the source the unit and talk tests reach (gcov); fails below the targets in tools/coverage.py
# make fuzz     each fuzz target for FUZZ_SECONDS (60), then which lines and branches of each parser its inputs reach
# make torture  kill -9 of each role under load, TORTURE_ROUNDS times (20); before it every sequence of LEASE_MODEL_DEPTH (9) steps
#               in the life of leases, and whether GUESS_TRIES (1000) refusals of each kind take the same time
# make load     floods, slow peers and those who never read, at full size: memory under its bound, and honest clients served (4 min)
# make powercut   a store's life recorded, and the power cut after each of its writes: POWERCUT_IMAGES (10000) different folders are opened
#               and must be good; POWERCUT_SEED (1) chooses the life
# make countdown  the n-th fault of each kind in each role of a whole server, once and for ever, until a scenario passes without it (an hour and
#               more); COUNTDOWN_STRIDE=7 takes every seventh, COUNTDOWN_FLAGS="--kinds sync,limit --roles keeper" a part
# make analyze  gcc -fanalyzer, clang-tidy and cppcheck over all that is in the program (6 min of processor time; not part of make test).  ANALYZERS=gcc for one
# make bench    the load generator against ekirei and, where installed, Postfix + Dovecot; writes docs/bench.md.  BENCH=mail,idle makes these sections
#               alone, BENCH=million the one that takes minutes, BENCH_FLAGS=--quick a short run that writes nothing
# make bench-profile   where ekirei's time goes under that load, by perf; PROFILE="mail2 retr" for these cases alone
# On Debian each installs what it needs first (tools/deps.sh).

FUZZ_SECONDS ?= 60
TORTURE_ROUNDS ?= 20
LEASE_MODEL_DEPTH ?= 9
GUESS_TRIES ?= 1000
POWERCUT_IMAGES ?= 10000
POWERCUT_SEED ?= 1
COUNTDOWN_STRIDE ?= 1
MESON_TEST = meson test --no-rebuild --print-errorlogs

all: build/ekirei

.PHONY: all ekirei run test check analyze asan sanitize coverage fuzz torture load powercut countdown bench bench-profile install clean deps-build deps-test deps-bench deps-analyze

deps-build deps-test deps-bench deps-analyze:
	@tools/deps.sh $(@:deps-%=%)

build/build.ninja: | deps-build
	CC=gcc meson setup build

build/ekirei: ekirei
ekirei: deps-build build/build.ninja
	@ninja -C build

run: ekirei
	build/ekirei demo

check: ekirei
	$(MESON_TEST) -C build --suite check

# What fails does not keep the rest from running: the summary counts it, and its exit status is that of `make test`.
test: deps-test ekirei
	@meson introspect build --dependencies | grep -q libgsasl || meson setup --reconfigure build # it was not there before deps-test
	@rm -f build/meson-logs/testlog.json build-asan/meson-logs/testlog.json
	$(MESON_TEST) -C build || true
	$(MAKE) sanitize || true
	@python3 tools/summary.py build build-asan

# The second compiler is the one with the sanitizers.  The fuzz targets are built with them, so that nothing is compiled twice for their sake.
build-asan/build.ninja: | deps-test
	CC=clang meson setup build-asan -Dfuzzing=true -Db_sanitize=address,undefined -Db_lundef=false -Db_pie=true

asan: deps-test build-asan/build.ninja
	@grep -q fuzz_session build-asan/build.ninja || meson setup --reconfigure -Dfuzzing=true build-asan # a folder from before the targets were in it
	@ninja -C build-asan

sanitize: asan
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $(MESON_TEST) -C build-asan --suite unit --suite talk --suite fuzz

# Without optimizing, so that each condition of the source is one of the program; which the C library's checks would warn of.
build-coverage/build.ninja: | deps-test
	CC=gcc meson setup build-coverage -Db_coverage=true -Doptimization=0 -Dc_args=-Wno-cpp

coverage: deps-test build-coverage/build.ninja
	@ninja -C build-coverage
	@find build-coverage -name '*.gcda' -delete
	$(MESON_TEST) -C build-coverage --suite unit --suite talk
	@tools/coverage.py build-coverage

# Compiled once more: how much is reached can be counted without sanitizers only.
build-reach/build.ninja: | deps-test
	CC=clang meson setup build-reach -Dfuzzing=true -Dc_args='-fprofile-instr-generate -fcoverage-mapping' -Dc_link_args=-fprofile-instr-generate

fuzz: asan build-reach/build.ninja
	tools/fuzz.sh build-asan $(FUZZ_SECONDS)
	@ninja -C build-reach fuzz_all
	@COVERAGE=build-reach tools/fuzz.sh build-asan 0

torture: deps-test ekirei
	LEASE_MODEL_DEPTH=$(LEASE_MODEL_DEPTH) GUESS_TRIES=$(GUESS_TRIES) python3 tests/torture/torture.py --rounds $(TORTURE_ROUNDS) \
	    --also build/src/proto/lease_model_test --also build/src/keeper/guess_test build/ekirei

load: deps-test ekirei
	python3 tests/load/load.py build/ekirei build/tests/load/flood

powercut: ekirei
	build/tests/faults/powercut --images $(POWERCUT_IMAGES) --seed $(POWERCUT_SEED)

build-analyze/build.ninja: | deps-analyze
	CC=clang meson setup build-analyze

analyze: deps-analyze build/build.ninja build-analyze/build.ninja
	python3 tools/analyze.py build build-analyze $(ANALYZERS)

countdown: deps-test ekirei
	python3 tests/faults/countdown.py build/ekirei build/tests/faults/ekirei_faulty --stride $(COUNTDOWN_STRIDE) $(COUNTDOWN_FLAGS)

bench: deps-bench ekirei
	python3 tests/bench/bench.py build/ekirei build/tests/bench/load --only=$(BENCH) $(or $(BENCH_FLAGS),--write docs/bench.md)

bench-profile: deps-bench ekirei
	python3 tests/bench/hot.py build/ekirei build/tests/bench/load $(PROFILE)

install: ekirei
	meson install -C build

clean:
	rm -rf build build-asan build-coverage build-reach build-analyze
