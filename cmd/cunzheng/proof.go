package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cunzheng/api/client"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/notary"
)

func proofCommand() *cobra.Command {
	var c connection
	var file, sm3Hex, output string
	cmd := &cobra.Command{
		Use:   "proof NUMBER {--file FILE | --sm3 HEX} -o OUT",
		Short: "Fetch the public proof of a document you hold; no login needed 凭原文取公开证明",
		Long: `Fetch the public proof of a document you hold. No login is needed: whoever has the number and the document, or its
SM3, may have the proof. The document is hashed here and never leaves this machine.

The server also finds proofs of the other offices of its consortium. A proof holds neither the original nor names and
free text; with an account of the depositing organisation, take 'cunzheng bundle' instead.`,
		Example: "  cunzheng proof XM-350200-NOT01-20261123-00000001-7 --file contract.pdf -o proof.zip",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (file == "") == (sm3Hex == "") {
				return withHint(usageError{errors.New("want either --file or --sm3")}, "usage: "+cmd.UseLine())
			}
			var digest evidence.Digest
			err := parseDigest("sm3", sm3Hex, &digest)
			if err != nil {
				return usageError{err}
			}
			if file != "" {
				if digest, err = hashFile(cmd, file); err != nil {
					return err
				}
			}
			server, err := c.public()
			if err != nil {
				return err
			}
			defer server.Close()
			p, err := fetchProof(cmd.Context(), server, args[0], digest)
			if err != nil {
				return c.explain(err)
			}
			if output == "" {
				output = args[0] + ".zip"
			}
			_, err = writeWhole(output, cmd.OutOrStdout(), func(w io.Writer) error { _, err := w.Write(p.bundle); return err })
			if err != nil || output == "-" {
				return err
			}
			return p.print(cmd.OutOrStdout(), output, file)
		},
	}
	c.addTo(cmd)
	flags := cmd.Flags()
	flags.StringVar(&file, "file", "", "the document, byte for byte as it was deposited, - for standard input 原文")
	flags.StringVar(&sm3Hex, "sm3", "", "SM3 of the document, 64 hexadecimal digits")
	flags.StringVarP(&output, "output", "o", "", "file to write, - for standard output; default NUMBER.zip")
	return cmd
}

// hashFile is the SM3 of a file of any size, or of standard input.
func hashFile(cmd *cobra.Command, path string) (evidence.Digest, error) {
	content, size := cmd.InOrStdin(), int64(-1)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return evidence.Digest{}, err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		content = f
	}
	bar := newProgress(cmd.ErrOrStderr(), path, size)
	defer bar.Exit()
	h := sm3.New()
	if _, err := io.Copy(io.MultiWriter(h, progressWriter{bar}), content); err != nil {
		return evidence.Digest{}, err
	}
	return evidence.Digest(h.Sum(nil)), nil
}

// maxProof bounds a proof that is held in memory: statement and receipt, and an anchoring proof of at most 6 MiB.
const maxProof = 16 << 20

// publicProof is a proof and what it says. Nothing in it is verified but that it is the one that was asked for.
type publicProof struct {
	bundle    []byte
	node      string // origin of the log of the other node that gave it; empty: the server's own
	statement *evidence.Statement
}

// fetchProof fetches a proof and holds it against what was asked for, so that nobody files away the proof of something else.
func fetchProof(ctx context.Context, server *client.Client, number string, digest evidence.Digest) (*publicProof, error) {
	var bundle bytes.Buffer
	node, err := server.Proof(ctx, number, digest, &limited{w: &bundle, left: maxProof})
	if problem, ok := errors.AsType[*client.Problem](err); ok && problem.Code == notary.CodeNotFound {
		return nil, withHint(err, "the SM3 is "+digest.String()+"; was this very file deposited under this number, byte for byte?")
	}
	if err != nil {
		return nil, err
	}
	report, err := evidence.Verify(evidence.Input{Bundle: bytes.NewReader(bundle.Bytes()), Size: int64(bundle.Len()), At: time.Now()})
	if err != nil {
		return nil, err
	}
	if report.Subject == nil {
		return nil, errors.New("what the server gave is not a proof")
	}
	s := report.Subject.Statement
	if s.Number != number || s.Content == nil || s.Content.SM3 != digest {
		return nil, errors.New("the server gave the proof of something else")
	}
	return &publicProof{bundle: bundle.Bytes(), node: node, statement: s}, nil
}

func (p *publicProof) print(w io.Writer, output, file string) error {
	from := p.node
	if from == "" {
		from = "this server 本服务器"
	}
	if file == "" || file == "-" {
		file = "FILE"
	}
	s := p.statement
	fmt.Fprintf(w, "%s\n", output)
	err := printFields(w,
		[2]string{"  number 存证编号", s.Number},
		[2]string{"  SM3", s.Content.SM3.String()},
		[2]string{"  organisation 存证主体", s.Depositor.Organisation},
		[2]string{"  received 接收时间", chinaTime(s.ReceivedAt)},
		[2]string{"  from 来自", from},
	)
	fmt.Fprintf(w, "not verified yet 尚未核验; with the trust file of the office, obtained on another channel:\n  cunzheng verify --trust trust.json --content %q %q\n", file, output)
	return err
}

// limited fails when more than a number of bytes is written to it.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.left {
		return 0, errors.New("what the server gives is larger than any proof")
	}
	l.left -= len(b)
	return l.w.Write(b)
}
