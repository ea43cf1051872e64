//go:build unix

// Package network makes and runs a consortium on Hyperledger Fabric on one machine: identities, genesis block, one
// orderer and one peer for each organisation, the channel, and the contract as a service beside each peer. Development,
// tests and drills use it; the folder it makes shows what a real member needs.
//
//	n, err := network.Up(ctx, "data-fabric", network.Default(7050), network.Options{Progress: os.Stderr})
//	…                       // clients connect with n.Profile("notary")
//	err = n.Down(ctx)
//
// It imports nothing of Fabric: it runs the binaries that [Build] makes and asks them, and never just lets time pass.
// The keys of all organisations are in one folder here, which is what a real consortium must not do.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sync/errgroup"
)

// Options are what a network needs beside the consortium. The zero value works.
type Options struct {
	// Binaries is the folder of Fabric's binaries; they are built into it if they are not there. Empty: the folder of
	// DefaultBinaries.
	Binaries string
	// Chaincode is the path of the program cunzheng-chaincode. Empty: it is built.
	Chaincode string
	// Progress takes a line for each step; nil is silence.
	Progress io.Writer
	// Tied makes the network's processes die with this one, however it dies. Tests set it. Linux only.
	Tied bool
}

// Network is a consortium's network in a folder. Its methods may be called concurrently.
type Network struct {
	// Consortium is who takes part; callers read it only.
	Consortium Consortium

	files   layout
	options Options
	began   time.Time // of Up, for the progress

	mu     sync.Mutex
	tether *tether // of the processes that Up and Start start, if they are tied
}

// kind is the part that a process plays.
type kind int

const (
	ordererKind kind = iota
	peerKind
	chaincodeKind
)

// process is one process of the network.
type process struct {
	name string
	kind kind
	org  Organisation
}

// Limits of how long a step of Up may take. They are generous: a machine under load is slow, not broken.
const (
	startTimeout  = 2 * time.Minute
	deployTimeout = 3 * time.Minute
	cleanTimeout  = 30 * time.Second
)

// Names of the files at the root of a network's folder, beside what layout describes.
const (
	lockFile     = "lock"
	programsFile = "programs.json"
)

// programs is where the binaries are that a network was started with, so that a later command starts the same.
type programs struct {
	Binaries  string `json:"binaries"`
	Chaincode string `json:"chaincode"`
}

// Up brings the consortium's network up in dir, or what is missing of it, and returns when clients can use it: every
// peer has found the others and answers a query by the contract. What an interrupted run has done is kept. When it
// fails, it stops the processes that it started. A port that another program holds is a *[PortError] before anything
// starts.
func Up(ctx context.Context, dir string, c Consortium, o Options) (*Network, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	n := &Network{Consortium: c, files: layout(absolute), options: o, began: time.Now()}
	unlock, err := n.files.occupy()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := n.up(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// Open returns the network in dir, whether it runs or not.
func Open(dir string) (*Network, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	n := &Network{files: layout(absolute), options: Options{Progress: io.Discard}, began: time.Now()}
	text, err := os.ReadFile(n.files.consortium())
	if err != nil {
		return nil, err
	}
	if n.Consortium, err = Parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w", n.files.consortium(), err)
	}
	text, err = os.ReadFile(n.files.join(programsFile))
	if errors.Is(err, fs.ErrNotExist) { // it was never started
		return n, nil
	}
	if err != nil {
		return nil, err
	}
	var p programs
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", programsFile, err)
	}
	n.options.Binaries, n.options.Chaincode = p.Binaries, p.Chaincode
	return n, nil
}

// occupy keeps other commands off the folder until unlock is called.
func (l layout) occupy() (unlock func(), err error) {
	file, err := tryLock(l.join(lockFile), lockExclusive)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, fmt.Errorf("another command is at work on %s", string(l))
	}
	return func() { file.Close() }, nil
}

func (n *Network) up(ctx context.Context) (err error) {
	if err := n.adopt(); err != nil {
		return err
	}
	if err := n.findPrograms(ctx); err != nil {
		return err
	}
	contract, err := n.prepare(ctx)
	if err != nil {
		return err
	}
	stopped, err := n.stopped()
	if err != nil {
		return err
	}
	if err := checkPorts(stopped); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.cleanUp(stopped))
		}
	}()
	if err := n.startAll(ctx, stopped); err != nil {
		return err
	}
	if err := n.join(ctx); err != nil {
		return err
	}
	deploying, cancel := context.WithTimeout(ctx, deployTimeout)
	defer cancel()
	n.say("installing and approving the chaincode %s · 安装并批准智能合约", contract.id)
	if err := n.deploy(deploying, contract); err != nil {
		return err
	}
	n.say("waiting until the peers have found each other · 等待对等节点互相发现")
	if err := n.waitUsable(ctx); err != nil {
		return err
	}
	n.say("ready · 就绪")
	return nil
}

// say writes a line of progress, with the time since Up began.
func (n *Network) say(format string, arguments ...any) {
	fmt.Fprintf(n.options.Progress, "%6.1fs  %s\n", time.Since(n.began).Seconds(), fmt.Sprintf(format, arguments...))
}

// adopt records the consortium in the folder, or checks that the folder is this consortium's: endpoints and names are
// part of certificates and of the genesis block. Only the chaincode may change.
func (n *Network) adopt() error {
	text, err := os.ReadFile(n.files.consortium())
	if err == nil {
		before, err := Parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", n.files.consortium(), err)
		}
		if reflect.DeepEqual(before, n.Consortium) {
			return nil
		}
		changed := before
		changed.Chaincode.Version = n.Consortium.Chaincode.Version
		if !reflect.DeepEqual(changed, n.Consortium) {
			return fmt.Errorf("%w in %s", ErrOtherNetwork, string(n.files))
		}
		// The old contract's servers go by the identifier of their package.
		if err := n.stopChaincode(); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return n.files.record(n.Consortium)
}

func (l layout) record(c Consortium) error {
	text, err := toml.Marshal(c)
	if err != nil {
		return err
	}
	return writeFile(l.consortium(), text)
}

// ErrOtherNetwork is a folder that holds the network of another consortium, or of this one on other endpoints.
var ErrOtherNetwork = errors.New("there is another network")

func (n *Network) stopChaincode() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	return n.each(ctx, func(ctx context.Context, o Organisation) error { return n.files.stop(ctx, chaincodeName(o)) })
}

// findPrograms builds what the caller did not bring.
func (n *Network) findPrograms(ctx context.Context) error {
	var err error
	if n.options.Binaries == "" {
		if n.options.Binaries, err = DefaultBinaries(ctx); err != nil {
			return err
		}
	}
	if n.options.Binaries, err = filepath.Abs(n.options.Binaries); err != nil {
		return err
	}
	if err := Build(ctx, n.options.Binaries, n.options.Progress); err != nil {
		return err
	}
	if n.options.Chaincode == "" {
		n.say("building the chaincode · 构建智能合约")
		if n.options.Chaincode, err = n.files.buildChaincode(ctx, n.stopChaincode); err != nil {
			return err
		}
	}
	if n.options.Chaincode, err = filepath.Abs(n.options.Chaincode); err != nil {
		return err
	}
	text, err := json.Marshal(programs{n.options.Binaries, n.options.Chaincode})
	if err != nil {
		return err
	}
	return writeFile(n.files.join(programsFile), text)
}

// prepare makes all files: identities, configuration, genesis block and the chaincode package.
func (n *Network) prepare(ctx context.Context) (contract, error) {
	issued, err := n.files.issueAll(n.Consortium, n.began)
	if err != nil {
		return contract{}, err
	}
	if issued {
		n.say("identities issued for %d organisations · 已为 %[1]d 个成员签发身份", len(n.Consortium.Organisations))
	}
	if err := n.files.configure(n.Consortium); err != nil {
		return contract{}, err
	}
	if err := n.makeGenesis(ctx); err != nil {
		return contract{}, err
	}
	return n.files.packageContract(n.Consortium.Chaincode)
}

// makeGenesis makes the channel's first block, once.
func (n *Network) makeGenesis(ctx context.Context) error {
	if _, err := os.Stat(n.files.genesis()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	draft := n.files.genesis() + ".new"
	_, err := n.tool(ctx, []string{"FABRIC_CFG_PATH=" + n.files.channel(), "FABRIC_LOGGING_SPEC=error"}, "configtxgen",
		"-configPath", n.files.channel(), "-profile", "Consortium", "-channelID", n.Consortium.Channel, "-outputBlock", draft)
	if err != nil {
		return err
	}
	return os.Rename(draft, n.files.genesis())
}

// here are the organisations whose processes run from this folder.
func (n *Network) here() []Organisation { return n.files.here(n.Consortium) }

// processes are all processes that run from this folder, those first that others need.
func (n *Network) processes() []process {
	here := n.here()
	var all []process
	for _, o := range here {
		if o.Orders() {
			all = append(all, process{ordererName(o), ordererKind, o})
		}
	}
	for _, o := range here {
		all = append(all, process{peerName(o), peerKind, o})
	}
	for _, o := range here {
		all = append(all, process{chaincodeName(o), chaincodeKind, o})
	}
	return all
}

func (n *Network) process(name string) (process, error) {
	for _, p := range n.processes() {
		if p.name == name {
			return p, nil
		}
	}
	return process{}, fmt.Errorf("the network has no process %q", name)
}

// stopped are the processes that do not run.
func (n *Network) stopped() ([]process, error) {
	var stopped []process
	for _, p := range n.processes() {
		pid, err := n.files.running(p.name)
		if err != nil {
			return nil, err
		}
		if pid == 0 {
			stopped = append(stopped, p)
		}
	}
	return stopped, nil
}

// startAll starts processes and waits until all of the network listen.
func (n *Network) startAll(ctx context.Context, stopped []process) error {
	if len(stopped) > 0 {
		n.say("starting %d processes · 启动 %[1]d 个进程", len(stopped))
	}
	for _, p := range stopped {
		if err := n.start(p); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range n.processes() {
		group.Go(func() error {
			return n.files.until(ctx, p.name, func(ctx context.Context) error { return n.listening(ctx, p) })
		})
	}
	return group.Wait()
}

func (n *Network) start(p process) error {
	command, err := n.command(p)
	if err != nil {
		return err
	}
	return n.files.start(p.name, command, n.tie())
}

// tie returns the tether of this process's children, or nil if they are not tied.
func (n *Network) tie() *tether {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.options.Tied && n.tether == nil {
		n.tether = newTether()
	}
	return n.tether
}

// untie ends what is left of the tied processes that this value started.
func (n *Network) untie() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tether != nil {
		n.tether.cut()
		n.tether = nil
	}
}

// logFormat is that of Fabric's logs, less the colours.
const logFormat = "FABRIC_LOGGING_FORMAT=%{time:2006-01-02 15:04:05.000 MST} %{level:.4s} [%{module}] %{shortfunc} -> %{message}"

// command is how a process of the network is started.
func (n *Network) command(p process) (command, error) {
	switch p.kind {
	case ordererKind:
		return command{
			path: filepath.Join(n.options.Binaries, "orderer"),
			env:  []string{"FABRIC_CFG_PATH=" + n.files.orderer(p.org), logFormat},
			dir:  n.files.orderer(p.org),
		}, nil
	case peerKind:
		return command{
			path: filepath.Join(n.options.Binaries, "peer"),
			args: []string{"node", "start"},
			env:  []string{"FABRIC_CFG_PATH=" + n.files.peer(p.org), connectionEnv + "=" + n.files.chaincodeConnection(p.org), logFormat},
			dir:  n.files.peer(p.org),
		}, nil
	}
	contract, err := n.files.packageContract(n.Consortium.Chaincode)
	return command{
		path: n.options.Chaincode,
		env: []string{
			"CHAINCODE_ID=" + contract.id,
			"CHAINCODE_SERVER_ADDRESS=" + net.JoinHostPort(loopback, fmt.Sprint(p.org.Peer.ChaincodePort)),
			"CHAINCODE_TLS_KEY=" + n.files.chaincode(p.org, "tls", keyFile),
			"CHAINCODE_TLS_CERT=" + n.files.chaincode(p.org, "tls", certificateFile),
			"CHAINCODE_CLIENT_CA_CERT=" + n.files.chaincode(p.org, "tls", authorityFile),
		},
		dir: n.files.chaincode(p.org),
	}, err
}

// join brings every orderer and every peer on the channel and waits until they take part.
func (n *Network) join(ctx context.Context) error {
	genesis, err := os.ReadFile(n.files.genesis())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	n.say("joining channel %s · 加入通道", n.Consortium.Channel)
	err = n.each(ctx, func(ctx context.Context, o Organisation) error {
		if o.Orders() {
			if err := n.ordering(ctx, o); errors.Is(err, errNoChannel) {
				if err := n.joinOrderer(ctx, o, genesis); err != nil {
					return n.files.failure(ordererName(o), err)
				}
			}
		}
		if err := n.holdsChannel(ctx, o); err != nil {
			if _, err := n.peerTool(ctx, o, adminUser, "channel", "join", "--blockpath", n.files.genesis()); err != nil {
				return n.files.failure(peerName(o), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range n.processes() {
		if p.kind == chaincodeKind {
			continue
		}
		group.Go(func() error {
			return n.files.until(ctx, p.name, func(ctx context.Context) error { return n.ready(ctx, p) })
		})
	}
	return group.Wait()
}

// waitUsable waits until clients of every organisation can work.
func (n *Network) waitUsable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return n.each(ctx, func(ctx context.Context, o Organisation) error {
		if err := n.files.until(ctx, peerName(o), func(ctx context.Context) error { return n.endorsers(ctx, o) }); err != nil {
			return err
		}
		return n.files.until(ctx, chaincodeName(o), func(ctx context.Context) error { return n.answers(ctx, o) })
	})
}

// cleanUp stops what a failed Up started. It has a time of its own, because the caller's may be over.
func (n *Network) cleanUp(started []process) error {
	n.say("failed; stopping what was started · 失败，停止已启动的进程")
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	defer n.untie()
	return n.stopAll(ctx, started)
}

func (n *Network) stopAll(ctx context.Context, processes []process) error {
	errs := make([]error, len(processes))
	var group sync.WaitGroup
	for i, p := range processes {
		group.Go(func() { errs[i] = n.files.stop(ctx, p.name) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// Down stops every process of the network and waits until they are gone. What they stored stays.
func (n *Network) Down(ctx context.Context) error {
	unlock, err := n.files.occupy()
	if err != nil {
		return err
	}
	defer unlock()
	return n.down(ctx)
}

func (n *Network) down(ctx context.Context) error {
	defer n.untie()
	return n.stopAll(ctx, n.processes())
}

// Clean stops the network and removes what Up made: keys, ledgers, logs. Other files in the folder stay.
func (n *Network) Clean(ctx context.Context) error {
	unlock, err := n.files.occupy()
	if err != nil {
		return err
	}
	defer unlock()
	if err := n.down(ctx); err != nil {
		return err
	}
	// The consortium file goes last: without it, a later Clean would find no network.
	for _, name := range []string{"organisations", "draft", "channel", "logs", "run", programsFile, definitionFile, "consortium.toml", lockFile} {
		if err := os.RemoveAll(n.files.join(name)); err != nil {
			return err
		}
	}
	if entries, err := os.ReadDir(string(n.files)); err != nil || len(entries) > 0 {
		return err
	}
	return os.Remove(string(n.files))
}

// Status is how one process does.
type Status struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"` // 0 if it does not run
	Running bool   `json:"running"`
	Ready   bool   `json:"ready"`             // it takes part: an orderer orders the channel, a peer has it, the chaincode accepts its peer
	Problem string `json:"problem,omitempty"` // why it is not ready
}

// Status asks every process how it does.
func (n *Network) Status(ctx context.Context) ([]Status, error) {
	processes := n.processes()
	statuses := make([]Status, len(processes))
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range processes {
		group.Go(func() error {
			var err error
			statuses[i], err = n.status(ctx, p)
			return err
		})
	}
	return statuses, group.Wait()
}

func (n *Network) status(ctx context.Context, p process) (Status, error) {
	pid, err := n.files.running(p.name)
	if err != nil {
		return Status{}, err
	}
	s := Status{Name: p.name, PID: pid, Running: pid != 0}
	if !s.Running {
		s.Problem = "does not run"
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := n.ready(ctx, p); err != nil {
		s.Problem = err.Error()
	} else {
		s.Ready = true
	}
	return s, nil
}

// Kill ends a process as a power failure would, and returns when it is gone. Names are orderer.ID, peer.ID and
// chaincode.ID.
func (n *Network) Kill(name string) error {
	if _, err := n.process(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	was, err := n.files.kill(ctx, name)
	if err == nil && !was {
		return fmt.Errorf("%s does not run", name)
	}
	return err
}

// Start starts a process that does not run, and returns when it takes part again. A peer or chaincode then answers
// queries.
func (n *Network) Start(ctx context.Context, name string) error {
	p, err := n.process(name)
	if err != nil {
		return err
	}
	if n.runs(name) {
		return fmt.Errorf("%s %w", name, errRunning)
	}
	if err := checkPorts([]process{p}); err != nil {
		return err
	}
	if err := n.start(p); err != nil {
		return err
	}
	if err := n.files.until(ctx, name, func(ctx context.Context) error { return n.ready(ctx, p) }); err != nil {
		return err
	}
	if p.kind == ordererKind || !n.runs(peerName(p.org)) || !n.runs(chaincodeName(p.org)) {
		return nil
	}
	return n.files.until(ctx, name, func(ctx context.Context) error { return n.answers(ctx, p.org) })
}

func (n *Network) runs(name string) bool {
	pid, err := n.files.running(name)
	return pid != 0 && err == nil
}

// Profile is the path of the connection profile of an organisation's client, by the organisation's id. All paths in it
// are absolute.
func (n *Network) Profile(org string) string { return n.files.profile(Organisation{ID: org}) }

// PrintProfiles writes a line for each organisation here, with the path of its connection profile.
func (n *Network) PrintProfiles(w io.Writer) error {
	for _, o := range n.here() {
		if _, err := fmt.Fprintf(w, "%s %s (%s): %s\n", o.ID, o.Title, o.MSP, n.files.profile(o)); err != nil {
			return err
		}
	}
	return nil
}

// ConfigBlock fetches the configuration block of the channel that is in force, as a serialized common.Block, from the
// first peer that answers.
func (n *Network) ConfigBlock(ctx context.Context) ([]byte, error) {
	var errs []error
	for _, o := range n.here() {
		block, err := n.configBlock(ctx, o)
		if err == nil {
			return block, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", peerName(o), err))
	}
	return nil, errors.Join(errs...)
}

// configBlock fetches the configuration block in force from an organisation's own peer.
func (n *Network) configBlock(ctx context.Context, o Organisation) ([]byte, error) {
	dir, err := os.MkdirTemp("", "config-block")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "config.block")
	if _, err := n.peerTool(ctx, o, adminUser, "channel", "fetch", "config", path, "--channelID", n.Consortium.Channel); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
