package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
)

// depositFlags describe what is deposited; they hold for every file of one command.
type depositFlags struct {
	name, mediaType, caseNumber, correlation   string
	related                                    []string
	source, generation, custody, environment   string
	tool, toolVersion, declaredAt, collectedAt string
	private                                    map[string]string
	digestOnly, asJSON                         bool
}

func depositCommand() *cobra.Command {
	var c connection
	var f depositFlags
	cmd := &cobra.Command{
		Use:   "deposit FILE…",
		Short: "Deposit files, folders or standard input as evidence 存证",
		Long: `Deposit files as evidence. A folder stands for every file in it; "-" is standard input (give it a --name).

With --digest-only the files are hashed here and never leave this machine; only their SM3 and SHA-256 are deposited.
Names, persons and free text enter the log only as salted commitments, never in clear.

--json prints one JSON object a line, in the order of the files.`,
		Example: `  cunzheng deposit contract.pdf
  cunzheng deposit --case 2026-闽-17 --source-system OA --generation export scans/
  pg_dump land | cunzheng deposit --digest-only --name land.sql -`,
		Args: minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			metadata, err := f.metadata()
			if err != nil {
				return err
			}
			sources, err := findSources(args, f.name, cmd.InOrStdin(), func(path string, mode fs.FileMode) {
				fmt.Fprintf(cmd.ErrOrStderr(), "skipped %s: not a regular file (%s)\n", path, mode.Type())
			})
			if err != nil {
				return err
			}
			server, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer server.Close()
			d := depositor{server: server, metadata: metadata, flags: f, out: cmd.OutOrStdout(), progress: cmd.ErrOrStderr()}
			return c.explain(d.depositAll(cmd.Context(), sources))
		},
	}
	c.addTo(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.digestOnly, "digest-only", false, "hash here and deposit the digests; the content never leaves this machine 仅存摘要")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object a line")
	flags.StringVar(&f.name, "name", "", "name of the one file or of standard input")
	flags.StringVar(&f.mediaType, "media-type", "", "media type; default from the file name")
	flags.StringVar(&f.caseNumber, "case", "", "case number 案件编号")
	flags.StringVar(&f.correlation, "correlation", "", "id that joins the records of one business process")
	flags.StringSliceVar(&f.related, "related", nil, "numbers of related evidence 关联证据")
	flags.StringVar(&f.source, "source-system", "", "system the data comes from 来源系统")
	flags.StringVar(&f.generation, "generation", "", "how the data came into being 生成方式: "+strings.Join(generations, ", "))
	flags.StringVar(&f.custody, "custody", "", "who held it until now 保管经过: "+strings.Join(custodies, ", "))
	flags.StringVar(&f.environment, "environment", "", "state of the collecting environment 清洁性: "+strings.Join(environments, ", "))
	flags.StringVar(&f.tool, "tool", "", "collection tool 采集工具")
	flags.StringVar(&f.toolVersion, "tool-version", "", "its version")
	flags.StringVar(&f.declaredAt, "declared-at", "", "when the data came into being, RFC 3339 申报生成时间")
	flags.StringVar(&f.collectedAt, "collected-at", "", "when it was collected, RFC 3339 采集时间")
	flags.StringToStringVar(&f.private, "private", nil, "personal or free text as FIELD=TEXT: collector, description, contact, …; only a salted commitment of it is logged")
	suggest(cmd, "generation", generations)
	suggest(cmd, "custody", custodies)
	suggest(cmd, "environment", environments)
	return cmd
}

func (f depositFlags) metadata() (wire.Metadata, error) {
	m := wire.Metadata{Case: f.caseNumber, Correlation: f.correlation, Related: f.related, Private: f.private, MediaType: f.mediaType}
	p := evidence.Provenance{
		SourceSystem: f.source, Generation: evidence.Generation(f.generation), Custody: evidence.Custody(f.custody),
		Environment: evidence.Environment(f.environment), Tool: f.tool, ToolVersion: f.toolVersion,
	}
	for _, t := range []struct {
		flag, value string
		to          *evidence.Instant
	}{{"declared-at", f.declaredAt, &p.DeclaredAt}, {"collected-at", f.collectedAt, &p.CollectedAt}} {
		if t.value == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.value)
		if err != nil {
			return m, usageError{fmt.Errorf("--%s: want a time such as 2026-11-23T19:00:00+08:00, got %q", t.flag, t.value)}
		}
		*t.to = evidence.InstantOf(at)
	}
	if p != (evidence.Provenance{}) {
		m.Provenance = &p
	}
	return m, nil
}

// source is one thing to deposit.
type source struct {
	path string // as shown to the user
	name string // as deposited
	size int64  // negative: unknown
	open func() (io.ReadCloser, error)
}

// findSources looks at every argument before anything is sent, so that a misspelt name costs nothing. Links, pipes and
// the like inside a folder are skipped, and said.
func findSources(args []string, name string, stdin io.Reader, skipped func(path string, mode fs.FileMode)) ([]source, error) {
	var sources []source
	for _, arg := range args {
		if arg == "-" {
			if name == "" {
				return nil, usageError{errors.New("standard input needs a --name")}
			}
			sources = append(sources, source{path: "-", name: name, size: -1, open: func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil }})
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			sources = append(sources, fileSource(arg, info))
			continue
		}
		err = filepath.WalkDir(arg, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if !entry.Type().IsRegular() {
				skipped(path, entry.Type())
				return nil
			}
			info, err := entry.Info()
			if err == nil {
				sources = append(sources, fileSource(path, info))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(sources) == 0 {
		return nil, usageError{fmt.Errorf("no files in %s", strings.Join(args, ", "))}
	}
	if name != "" {
		if len(sources) > 1 {
			return nil, usageError{fmt.Errorf("--name fits one file, and there are %d", len(sources))}
		}
		sources[0].name = name
	}
	return sources, nil
}

func fileSource(path string, info fs.FileInfo) source {
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = -1 // a pipe or a device
	}
	return source{path: path, name: filepath.Base(path), size: size, open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// depositor runs one deposit command.
type depositor struct {
	server   *client.Client
	metadata wire.Metadata
	flags    depositFlags
	out      io.Writer
	progress io.Writer
}

// deposited is one line of --json.
type deposited struct {
	File     string           `json:"file"`
	Number   string           `json:"number"`
	Type     evidence.Type    `json:"type"`
	SM3      evidence.Digest  `json:"sm3"`
	SHA256   evidence.Digest  `json:"sha256"`
	Size     int64            `json:"size"`
	Index    uint64           `json:"index"`
	Received evidence.Instant `json:"receivedAt"`
	Earlier  []string         `json:"earlier,omitempty"` // earlier deposits of the same content
	Receipt  jsontext.Value   `json:"receipt"`
}

// depositAll deposits one source after the other. What was deposited before an error stands and has been printed.
func (d *depositor) depositAll(ctx context.Context, sources []source) error {
	for i, s := range sources {
		label := s.path
		if len(sources) > 1 {
			label = fmt.Sprintf("[%d/%d] %s", i+1, len(sources), s.path)
		}
		result, err := d.deposit(ctx, s, newProgress(d.progress, label, s.size))
		if err != nil {
			if i > 0 {
				err = withHint(fmt.Errorf("%s: %w", s.path, err), fmt.Sprintf("%d of %d files were deposited and stand; go on from %s", i, len(sources), s.path))
			} else {
				err = fmt.Errorf("%s: %w", s.path, err)
			}
			return err
		}
		if err := d.print(result); err != nil {
			return err
		}
	}
	return nil
}

func (d *depositor) deposit(ctx context.Context, s source, bar *progressbar.ProgressBar) (*deposited, error) {
	defer bar.Exit()
	content, err := s.open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	m := d.metadata
	m.Name = s.name
	if m.MediaType == "" {
		m.MediaType = mediaTypeOf(s.name)
	}
	local := newHashing(content, bar)
	if d.flags.digestOnly {
		return d.depositDigest(ctx, s, m, local)
	}
	return d.depositFile(ctx, s, m, local)
}

func (d *depositor) depositDigest(ctx context.Context, s source, m wire.Metadata, local *hashing) (*deposited, error) {
	if _, err := io.Copy(io.Discard, local); err != nil {
		return nil, err
	}
	digests := local.sums()
	answer, err := d.server.DepositDigest(ctx, wire.DigestDeposit{Metadata: m, SM3: digests.sm3, SHA256: digests.sha256, Size: &digests.size})
	if err != nil {
		return nil, err
	}
	return newDeposited(s, answer, digests)
}

func (d *depositor) depositFile(ctx context.Context, s source, m wire.Metadata, local *hashing) (*deposited, error) {
	answer, err := d.server.DepositFile(ctx, client.File{FileMetadata: wire.FileMetadata{Metadata: m}, Content: local, Length: s.size})
	if err != nil {
		return nil, err
	}
	return newDeposited(s, answer, local.sums())
}

// newDeposited holds the platform's answer against what was read here: a statement about other bytes is an error,
// whatever the server says.
func newDeposited(s source, answer *wire.Deposit, local sums) (*deposited, error) {
	statement, err := evidence.ParseStatement(answer.Statement)
	if err != nil {
		return nil, fmt.Errorf("deposited as %s, but the platform's statement cannot be read: %w", answer.Number, err)
	}
	receipt, err := evidence.ParseReceipt(answer.Receipt)
	if err != nil {
		return nil, fmt.Errorf("deposited as %s, but the platform's receipt cannot be read: %w", answer.Number, err)
	}
	c := statement.Content
	if c == nil || c.SM3 != local.sm3 || c.SHA256 != local.sha256 || c.Size == nil || *c.Size != local.size || receipt.Statement != digestOf(answer.Statement) {
		return nil, withHint(fmt.Errorf("deposited as %s, but the platform speaks of other bytes than this file", answer.Number),
			"did the file change meanwhile? then deposit it again; if not, report this")
	}
	return &deposited{
		File: s.path, Number: answer.Number, Type: statement.Type, SM3: local.sm3, SHA256: local.sha256, Size: local.size,
		Index: receipt.Index, Received: receipt.ReceivedAt, Earlier: answer.Earlier, Receipt: answer.Receipt,
	}, nil
}

func (d *depositor) print(r *deposited) error {
	if d.flags.asJSON {
		return printLine(d.out, r)
	}
	size := humanize.IBytes(uint64(r.Size))
	if r.Size == 0 {
		size = "empty file 空文件"
	}
	fmt.Fprintf(d.out, "%s\n", r.File)
	return printFields(d.out,
		[2]string{"  number 存证编号", r.Number},
		[2]string{"  SM3", r.SM3.String()},
		[2]string{"  SHA-256", r.SHA256.String()},
		[2]string{"  size 大小", size},
		[2]string{"  received 接收时间", chinaTime(r.Received)},
		[2]string{"  deposited before 已存于", strings.Join(r.Earlier, ", ")},
	)
}

// mediaTypeOf guesses from the name's ending; parameters are dropped.
func mediaTypeOf(name string) string {
	t, _, err := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(name)))
	if err != nil {
		return ""
	}
	return t
}

// hashing reads through SM3 and SHA-256 and moves a progress bar. Seeking back to the start, as a repeated upload does,
// begins anew.
type hashing struct {
	content io.Reader
	bar     *progressbar.ProgressBar
	sm3     hash.Hash
	sha256  hash.Hash
	size    int64
}

// sums are the digests and the length of what was read.
type sums struct {
	sm3, sha256 evidence.Digest
	size        int64
}

func newHashing(content io.Reader, bar *progressbar.ProgressBar) *hashing {
	return &hashing{content: content, bar: bar, sm3: sm3.New(), sha256: sha256.New()}
}

func (h *hashing) Read(p []byte) (int, error) {
	n, err := h.content.Read(p)
	h.sm3.Write(p[:n])
	h.sha256.Write(p[:n])
	h.size += int64(n)
	h.bar.Add(n) // fails only when the terminal does
	return n, err
}

// Seek supports what an upload needs: to ask where it stands, and to start again.
func (h *hashing) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent && offset == 0 {
		return h.size, nil
	}
	seeker, ok := h.content.(io.Seeker)
	if !ok || whence != io.SeekStart || offset != 0 {
		return 0, errors.New("the content can only be read from its start, and only once")
	}
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	h.sm3.Reset()
	h.sha256.Reset()
	h.size = 0
	h.bar.Reset()
	return 0, nil
}

func (h *hashing) sums() sums {
	return sums{sm3: evidence.Digest(h.sm3.Sum(nil)), sha256: evidence.Digest(h.sha256.Sum(nil)), size: h.size}
}
