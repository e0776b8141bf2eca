# make run and make test are all a newcomer needs: each installs missing Debian packages and builds.

.PHONY: run test asan tsan fuzz tidy format coverage bench clean

run:  ## build callgate and show it at work
	@scripts/install-packages.sh build demo
	@scripts/build.sh dev callgate_cli
	@scripts/demo.sh build/dev/bin/callgate

test:  ## build and run every test
	@scripts/install-packages.sh build demo test
	@scripts/build.sh dev
	@scripts/test.sh dev

# The tests labelled "text" read sources and pages, no compiled code: once is enough. In the bpf
# tests the kernel kills a process's only thread; ThreadSanitizer gives it another one, and the
# process would never end.
tsan: except = --exclude-regex '^bpf$$'
asan tsan:  ## the tests again, under sanitizers
	@scripts/install-packages.sh build demo test
	@scripts/build.sh $@
	@scripts/test.sh $@ --label-exclude text $(except)

fuzz:  ## every fuzzer for a while; make fuzz SECONDS=600 for longer
	@scripts/install-packages.sh build test
	@scripts/build.sh fuzz
	@scripts/fuzz.sh $(SECONDS)

tidy:  ## clang-tidy over what changed since it was last clean
	@scripts/install-packages.sh build test bench
	@scripts/tidy.py

format:  ## rewrite the C++ sources as clang-format has them
	@scripts/install-packages.sh test
	@scripts/sources.sh | xargs clang-format-19 -i

coverage:  ## lines that the tests reach, by file
	@scripts/install-packages.sh build demo test coverage
	@scripts/build.sh coverage
	@scripts/coverage.sh

bench:  ## the benchmarks; CALLGATE_DATA=FOLDER holds the rule lists of the tables
	@scripts/install-packages.sh build demo bench
	@scripts/bench.sh

clean:  ## remove everything that was built
	@rm -rf build
