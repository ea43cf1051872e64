# Two commands matter: `make run` and `make test`. `make help` lists the rest.

GO        ?= go
DATA      ?= data
FABRIC    ?= data-fabric
LISTEN    ?= 127.0.0.1:8080
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.version=$(VERSION)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Packages in which goroutines share memory: they are tested again under the race detector.
RACE := ./crypto/sm2 ./keystore ./ledger/... ./notary/... ./api/... ./cmd/cunzheng ./cmd/cunzheng-chaincode

.PHONY: help run run-fabric stop-fabric build test lint unit race bench fuzz clean tools

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## build the commands into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

run: build ## set up a node in $(DATA) (first time) and serve it on $(LISTEN)
	@test -e $(DATA)/cunzheng.toml || bin/cunzheng init --data $(DATA)
	exec bin/cunzheng serve --data $(DATA) --listen $(LISTEN)

run-fabric: build ## the same, anchored on a Fabric network of four organisations in $(FABRIC)
	$(GO) run ./deploy/fabric up --dir $(FABRIC)
	@test -e $(DATA)/cunzheng.toml || bin/cunzheng init --data $(DATA) --ledger fabric \
		--fabric-profile $(FABRIC)/organisations/notary/connection.yaml --fabric-genesis $(FABRIC)/channel/genesis.block
	exec bin/cunzheng serve --data $(DATA) --listen $(LISTEN) --ledger fabric \
		--fabric-profile $(FABRIC)/organisations/notary/connection.yaml --fabric-genesis $(FABRIC)/channel/genesis.block

stop-fabric: ## stop the Fabric network (its ledger stays)
	$(GO) run ./deploy/fabric down --dir $(FABRIC)

tools: ## install what the tests need (Debian packages)
	@deploy/tools.sh

test: tools lint unit race ## run every check and every test

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

unit:
	$(GO) test -timeout 20m ./...
	$(GO) test -tags purego -short ./crypto/...
	$(GO) test ./testdata/independent

race:
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m $(RACE)

bench: ## measure; prints machine, versions and ratios
	@deploy/bench.sh

fuzz: ## fuzz every parser for FUZZTIME each (default 30s)
	@deploy/fuzz.sh

clean: ## remove what the build made (never data)
	rm -rf bin
