package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/evidence"
)

func showCommand() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show one piece of evidence 查看存证",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer server.Close()
			record, err := server.Get(cmd.Context(), args[0])
			if err != nil {
				return c.explain(err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), record)
			}
			return printRecord(cmd.OutOrStdout(), record)
		},
	}
	c.addTo(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printRecord(w io.Writer, r wire.Evidence) error {
	s, err := evidence.ParseStatement(r.Statement)
	if err != nil {
		return fmt.Errorf("the statement of %s: %w", r.Number, err)
	}
	fields := [][2]string{
		{"number 存证编号", r.Number},
		{"type 类型", string(s.Type)},
		{"level 证明层级", r.Level},
		{"received 接收时间", chinaTime(s.ReceivedAt)},
		{"organisation 存证主体", s.Depositor.Organisation},
		{"account 经办账号", s.Depositor.Account},
		{"original 原文保管", string(s.OriginalKept)},
		{"case 案件编号", s.Case},
		{"correlation 业务编号", s.Correlation},
		{"related 关联证据", strings.Join(s.Related, ", ")},
	}
	if c := s.Content; c != nil {
		fields = append(fields, [2]string{"SM3", c.SM3.String()})
		if !c.SHA256.IsZero() {
			fields = append(fields, [2]string{"SHA-256", c.SHA256.String()})
		}
		if c.Size != nil {
			fields = append(fields, [2]string{"size 大小", fmt.Sprintf("%d bytes", *c.Size)})
		}
		fields = append(fields, [2]string{"media type 格式", c.MediaType})
	}
	if p := s.Provenance; p != nil {
		fields = append(fields,
			[2]string{"source system 来源系统", p.SourceSystem},
			[2]string{"generation 生成方式", string(p.Generation)},
			[2]string{"tool 采集工具", strings.TrimSpace(p.Tool + " " + p.ToolVersion)},
			[2]string{"custody 保管经过", string(p.Custody)},
			[2]string{"environment 清洁性", string(p.Environment)},
			[2]string{"declared 申报生成时间", chinaTime(p.DeclaredAt)},
			[2]string{"collected 采集时间", chinaTime(p.CollectedAt)},
		)
	}
	for _, field := range sortedKeys(s.Private) {
		value, open := r.Disclosed[field]
		if !open {
			value = "(withheld 未披露)"
		}
		fields = append(fields, [2]string{field, value})
	}
	return printFields(w, fields...)
}

func searchCommand() *cobra.Command {
	var c connection
	var q client.Query
	var sm3Hex, sha256Hex, from, to string
	var most int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Search evidence by number, digest, depositor, time, case or correlation id 查询存证",
		Long: `Search evidence. Flags combine; at most --most matches of what you may see are printed, the oldest first, or with
--newest-first the other way round. With --json one JSON object a line.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(
				parseDigest("sm3", sm3Hex, &q.SM3), parseDigest("sha256", sha256Hex, &q.SHA256),
				parseTime("from", from, &q.From), parseTime("to", to, &q.To),
			); err != nil {
				return usageError{err}
			}
			server, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer server.Close()
			found := 0
			for item, err := range server.All(cmd.Context(), q) {
				if err != nil {
					return c.explain(err)
				}
				if found == most {
					fmt.Fprintf(cmd.ErrOrStderr(), "there are more; narrow the search or raise --most\n")
					break
				}
				found++
				if asJSON {
					err = printLine(cmd.OutOrStdout(), item)
				} else {
					err = printSummary(cmd.OutOrStdout(), item)
				}
				if err != nil {
					return err
				}
			}
			if found == 0 && !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing found 未查到")
			}
			return nil
		},
	}
	c.addTo(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.Number, "number", "", "evidence number 存证编号")
	flags.StringVar(&sm3Hex, "sm3", "", "SM3 of the content, 64 hexadecimal digits")
	flags.StringVar(&sha256Hex, "sha256", "", "SHA-256 of the content")
	flags.StringVar(&q.Depositor, "depositor", "", "organisation 存证主体")
	flags.StringVar(&from, "from", "", "received at or after, RFC 3339 or YYYY-MM-DD")
	flags.StringVar(&to, "to", "", "received before")
	flags.StringVar(&q.Case, "case", "", "case number 案件编号")
	flags.StringVar(&q.Correlation, "correlation", "", "correlation id")
	flags.BoolVar(&q.NewestFirst, "newest-first", false, "the newest first 按时间倒序")
	flags.IntVar(&most, "most", 100, "print at most this many")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

func printSummary(w io.Writer, s wire.Summary) error {
	size := ""
	if s.Size != nil {
		size = humanize.IBytes(uint64(*s.Size))
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-6s  %s  %s…  %s\n", s.Number, chinaTime(s.ReceivedAt), s.Type, s.Organisation, s.SM3.String()[:16], size)
	return err
}

func parseDigest(flag, text string, to *evidence.Digest) error {
	if text == "" {
		return nil
	}
	d, err := evidence.ParseDigest(strings.ToLower(text))
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	*to = d
	return nil
}

func parseTime(flag, text string, to *time.Time) error {
	if text == "" {
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*to = t
			return nil
		}
	}
	return fmt.Errorf("--%s: want a time such as 2026-11-23 or 2026-11-23T19:00:00+08:00, got %q", flag, text)
}

func bundleCommand() *cobra.Command {
	var c connection
	var output string
	var withContent bool
	cmd := &cobra.Command{
		Use:     "bundle NUMBER -o FILE",
		Short:   "Fetch the one file that a court verifies offline 导出核验包",
		Example: "  cunzheng bundle XM-350200-NOT01-20261123-00000001-7 -o evidence.zip --with-content",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				output = args[0] + ".zip"
			}
			server, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer server.Close()
			bar := newProgress(cmd.ErrOrStderr(), args[0], -1)
			size, err := writeWhole(output, cmd.OutOrStdout(), func(w io.Writer) error {
				return server.Bundle(cmd.Context(), args[0], withContent, io.MultiWriter(w, progressWriter{bar}))
			})
			bar.Finish()
			if err != nil {
				return c.explain(err)
			}
			if output != "-" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", output, humanize.IBytes(uint64(size)))
			}
			return nil
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, - for standard output; default NUMBER.zip")
	cmd.Flags().BoolVar(&withContent, "with-content", false, "put the original into the bundle")
	return cmd
}

type progressWriter struct{ bar *progressbar.ProgressBar }

func (p progressWriter) Write(b []byte) (int, error) {
	p.bar.Add(len(b))
	return len(b), nil
}

// writeWhole writes a file that appears under its name only when it is complete; "-" is standard output. What is there
// and is no regular file, such as a pipe or a device, is written to as it is.
func writeWhole(path string, stdout io.Writer, write func(io.Writer) error) (size int64, err error) {
	if path == "-" {
		return 0, write(stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		return 0, errors.Join(write(f), f.Close())
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(temp.Name())
	if err := errors.Join(write(temp), temp.Chmod(0o644)); err != nil {
		temp.Close()
		return 0, err
	}
	if size, err = temp.Seek(0, io.SeekCurrent); err != nil {
		temp.Close()
		return 0, err
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(temp.Name(), path)
}

func trustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "The public keys a verifier trusts 信任文件",
	}
	var c connection
	var output string
	var consortium bool
	export := &cobra.Command{
		Use:   "export -o FILE",
		Short: "Write the platform's trust file",
		Long: `Write the platform's trust file: the public keys that its bundles are verified with.

It is worth what the way is worth on which it reaches the verifier: hand it over in person, publish it on paper or in an
official gazette, or let the verifier compare its SM3.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.public()
			if err != nil {
				return err
			}
			defer server.Close()
			fetch := server.Trust
			if consortium {
				fetch = server.ConsortiumTrust
			}
			_, text, err := fetch(cmd.Context())
			if err != nil {
				return c.explain(err)
			}
			if _, err := writeWhole(output, cmd.OutOrStdout(), func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
				return err
			}
			if output != "-" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  SM3 %s\n", output, digestOf(text))
			}
			return nil
		},
	}
	c.addTo(export)
	export.Flags().BoolVar(&consortium, "consortium", false, "of all nodes on the shared ledger, not of this one alone 联盟各节点")
	export.Flags().StringVarP(&output, "output", "o", "trust.json", "file to write, - for standard output")
	cmd.AddCommand(export)
	return cmd
}
