# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: attacks bench bench-fetch bench-fleet bench-report bench-restore bench-restore-huge bench-scan build check clean collect controller coverage docs drill faults fuzz galaxy help integration integration-long inventory lint lock matrix mutants prepare report rescue sanity soak test test-all test-release unit ways

# Ansible insists on a UTF-8 locale. The user's own collections stay in reach: an inventory may need them.
export LC_ALL := C.UTF-8
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/collections:$(or $(ANSIBLE_COLLECTIONS_PATH),$(HOME)/.ansible/collections:/usr/share/ansible/collections)
ROUNDS := 5
in_venv := PATH="$(CURDIR)/.venv/bin:$$PATH"

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

drill: prepare ## Delete /bin/bash on three throwaway hosts and bring it back (root)
	@$(in_venv) PYTHONPATH="$(CURDIR)/tests" python -m fleet.drill

rescue: inventory controller ## Bring deleted files back on your hosts: INVENTORY=hosts.yml, ARGS='--limit web'
	@$(in_venv) ansible-playbook procfs.rescue.rescue -i "$(INVENTORY)" $(ARGS)

check: inventory controller ## Only look what could be rescued on your hosts: INVENTORY=hosts.yml
	@$(in_venv) ansible-playbook procfs.rescue.check -i "$(INVENTORY)" $(ARGS)

report: inventory controller ## Write a page of what deleted files your hosts hold: INVENTORY=hosts.yml
	@$(in_venv) ansible-playbook procfs.rescue.report -i "$(INVENTORY)" $(ARGS)

collect: inventory controller ## Collect what deleted files of your hosts hold as evidence: INVENTORY=hosts.yml
	@$(in_venv) ansible-playbook procfs.rescue.collect -i "$(INVENTORY)" $(ARGS)

test: lint unit docs build sanity integration ## Everything that CI runs (root)

test-all: test galaxy integration-long ways ## And what takes longer: two hours

test-release: test-all matrix faults mutants soak ## And what a release must have passed: six hours

# The code asks first whether Python has these.
guarded := os.copy_file_range 'hashlib.new(usedforsecurity)'

lint: prepare ## Style, types, Python 3.6 for what runs on the hosts, documentation, changelog
	$(in_venv) ruff check
	$(in_venv) ruff format --check
	$(in_venv) mypy
	$(in_venv) vermin --quiet --violations --eval-annotations -t=3.6- $(addprefix --exclude ,$(guarded)) plugins/modules plugins/module_utils roles/lifeline/files
	$(in_venv) yamllint .
	$(in_venv) ansible-lint
	$(in_venv) antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs dependent .
	$(in_venv) antsibull-changelog lint
	$(in_venv) reuse lint --quiet
	$(in_venv) nox --list > /dev/null

docs: prepare ## The documentation as HTML in .work/docs/html
	rm -rf .work/docs && mkdir -p .work/docs/rst && chmod 755 .work/docs/rst
	$(in_venv) antsibull-docs collection --use-current --squash-hierarchy --fail-on-error --no-add-antsibull-docs-version --dest-dir .work/docs/rst procfs.rescue
	cp docs/docsite/rst/*.svg .work/docs/rst/docsite/ # antsibull-docs takes none along
	$(in_venv) sphinx-build --quiet --fail-on-warning --keep-going -c docs .work/docs/rst .work/docs/html

unit: prepare ## Unit tests
	$(in_venv) pytest tests/unit

fuzz: prepare ## More than 100,000 hostile names and contents of /proc: SEED=1
	@$(in_venv) python tests/fuzz.py $(or $(SEED),1)

coverage: prepare ## How much of the plugins and of the keeper the unit tests reach, by branch
	mkdir -p .work
	$(in_venv) COVERAGE_FILE=.work/coverage.sqlite pytest -q --cov=plugins --cov=roles/lifeline/files --cov-branch --cov-report=term --cov-report=html:.work/coverage tests/unit

mutants: prepare ## Change the steps on which trust rests bit by bit: do their unit tests notice?
	@$(in_venv) python tests/mutants.py

soak: prepare ## Delete and rescue on three hosts, whatever is killed meanwhile: ROUNDS=1000 SEED=1 (root)
	@$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" python -m soak $(if $(filter file,$(origin ROUNDS)),1000,$(ROUNDS)) $(or $(SEED),1) $(ROUND)

build: prepare ## Build the artifact, install it elsewhere and use it there
	$(in_venv) python tests/artifact.py

galaxy: prepare ## What Galaxy does with an upload: galaxy-importer
	$(in_venv) python tests/artifact.py galaxy

sanity: prepare ## ansible-test sanity
	$(in_venv) PYTHONPATH="$(CURDIR)/tests" python tests/sanity/run.py

integration: prepare ## Tests against real hosts
	$(in_venv) pytest tests/integration -m 'not long'

integration-long: prepare ## The tests against throwaway hosts that take longer
	$(in_venv) pytest tests/integration -m long

attacks: prepare ## Attacks by a user of a throwaway host, and what refuses each (root)
	$(in_venv) pytest tests/integration/test_attacks.py

faults: prepare ## A fault at every system call of restore_file, and what it left: SITUATION='the name is free'
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" python -m faults $(if $(SITUATION),"$(SITUATION)")

matrix: prepare ## The same against other releases of ansible-core and Python, as far as they are found here
	$(in_venv) python tests/matrix.py

ways: prepare ## Which way leads into a host after what was lost: the table of README.md, from real hosts
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" python tests/ways.py

bench: bench-scan bench-report bench-fleet bench-restore bench-fetch ## All benchmarks but bench-restore-huge

bench-fleet: prepare ## A rescue of 50 hosts, and of up to 200, against ping, six tasks by hand, a loop of ssh: ROUNDS=3
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" python benchmarks/run.py fleet $(ROUNDS)

bench-report: prepare ## The report of 1,000 hosts: how large, how long until its reader can use it
	$(in_venv) PYTHONPATH="$(CURDIR)/tests" python benchmarks/report.py $(ROUNDS)

# In a /proc of its own.
bench-scan: prepare ## The scan against a C walk, find, lsfd, lsof, psutil, and its task against a ping: ROUNDS=5
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" unshare --pid --fork --kill-child --mount-proc python benchmarks/run.py scan $(ROUNDS)
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" python benchmarks/run.py facts $(ROUNDS)

# In a /proc of its own.
bench-restore: prepare ## restore_file against cp, sync and two hashes: ROUNDS=3 RESTORE_MIB=64,1024 SPARSE_GIB=8 SMALL_FILES=10000
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" unshare --pid --fork --kill-child --mount-proc python benchmarks/run.py restore $(ROUNDS)

bench-restore-huge: prepare ## The same with 1 TiB that is nearly all hole, one round: HUGE_GIB=1024
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" unshare --pid --fork --kill-child --mount-proc python benchmarks/run.py restore-huge 1

bench-fetch: prepare ## fetch_file against ssh cat, rsync, ansible.builtin.fetch: ROUNDS=3 FETCH_GIB=1,4 FETCH_DEST=/dev/shm FETCH_LINK=1gbit (root)
	$(in_venv) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)/collections" python benchmarks/run.py fetch $(ROUNDS)

# yattag makes cosmic-ray's HTML, which nobody needs, and has no wheel.
lock_options := --quiet --no-config --upgrade --universal --python-version 3.10 --generate-hashes --no-header --no-emit-package yattag
lock: ## Renew both lock files
	python3 -m venv .work/lock
	.work/lock/bin/pip --quiet install uv
	.work/lock/bin/uv pip compile $(lock_options) requirements.in -o requirements.txt
	.work/lock/bin/uv pip compile $(lock_options) -c requirements.txt tests/requirements.in -o tests/requirements.txt

clean: ## Remove everything that was made here
	rm -rf .venv .work collections .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache procfs-rescue-*.tar.gz

prepare:
	@python3 tests/prepare.py

controller:
	@python3 tests/prepare.py controller

inventory:
	@test -n "$(INVENTORY)" || { echo 'Which hosts? Give an inventory: make $(MAKECMDGOALS) INVENTORY=hosts.yml' >&2; exit 2; }
