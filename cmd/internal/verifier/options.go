package verifier

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"cunzheng/evidence"
)

// options is the parsed command line.
type options struct {
	command  string // as the user typed it, for hints
	bundle   string
	content  string // "-" is standard input
	trust    string
	at       time.Time
	json     bool
	language evidence.Language
	version  bool
}

const usageText = `用法 / Usage:
  %s [选项 / flags] BUNDLE

离线核验一个存证包，不需要服务器和网络。
Checks an evidence bundle offline, without server or network.

  --trust FILE      信任文件，从存证机构另行取得
                    trust file, obtained from the office on another channel
  --content FILE    原文；“-”为标准输入。包内已有原文时可省略
                    the original, "-" for standard input; not needed if the bundle holds it
  --at TIME         核验时点，如 2026-11-23T19:22:33+08:00；默认为现在
                    time of the verdict; default: now
  --json            输出 JSON 报告 / print the report as JSON
  --lang zh|en      语言，默认取自 LANG / language, default from LANG
  --version         版本 / version

退出码 / Exit codes:
  0  通过 / passed      1  不通过 / failed
  2  无法判定 / indeterminate      3  用法错误或文件不可读 / usage error or unreadable file
带 --json 时，退出码 3 也输出一个 JSON 对象，说明原因。
With --json, exit code 3 comes with a JSON object too, which says why.
`

const timeExample = "2026-11-23T19:22:33+08:00"

func (c Command) usage() string { return fmt.Sprintf(usageText, c.Name) }

// parse reads the command line. Flags may stand before and after the bundle.
func (c Command) parse(args []string) (*options, error) {
	o := &options{command: c.Name}
	var at, language string
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.trust, "trust", "", "")
	flags.StringVar(&o.content, "content", "", "")
	flags.StringVar(&at, "at", "", "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.StringVar(&language, "lang", "", "")
	flags.BoolVar(&o.version, "version", false, "")
	var bundles []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageProblem("命令行有误："+err.Error(), err.Error())
		}
		rest := flags.Args()
		if len(args) > len(rest) && args[len(args)-len(rest)-1] == "--" {
			bundles = append(bundles, rest...) // behind "--" there are no flags
			break
		}
		if len(rest) > 0 {
			bundles = append(bundles, rest[0])
			rest = rest[1:]
		}
		args = rest
	}
	if o.version {
		return o, nil
	}
	if len(bundles) != 1 {
		return nil, usageProblem(fmt.Sprintf("需要且只能有一个存证包，现有 %d 个", len(bundles)), fmt.Sprintf("want exactly one bundle, got %d", len(bundles)))
	}
	o.bundle = bundles[0]

	o.at = c.Now()
	if at != "" {
		var err error
		if o.at, err = time.Parse(time.RFC3339, at); err != nil {
			return nil, usageProblem(fmt.Sprintf("--at %q：时间应如 %s", at, timeExample), fmt.Sprintf("--at %q: want a time such as %s", at, timeExample))
		}
		if o.at.Year() < 1971 || o.at.Year() > 9998 {
			return nil, usageProblem(fmt.Sprintf("--at %q：年份超出范围", at), fmt.Sprintf("--at %q: year out of range", at))
		}
	}
	switch language {
	case "":
		o.language = languageOf(c.Getenv)
	case string(evidence.Chinese), string(evidence.English):
		o.language = evidence.Language(language)
	default:
		return nil, usageProblem("--lang 应为 zh 或 en", "--lang: want zh or en")
	}
	return o, nil
}

// languageOf follows the locale as C programs do: English if it says so, otherwise Chinese.
func languageOf(getenv func(string) string) evidence.Language {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale := getenv(name); locale != "" {
			if strings.HasPrefix(locale, "en") {
				return evidence.English
			}
			break
		}
	}
	return evidence.Chinese
}
