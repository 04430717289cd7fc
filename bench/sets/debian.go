package sets

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"intray/infra/ai"
)

// debianSample is the maximum number of packages from each section.
const debianSample = 120

var debianTopics = []ai.Topic{
	topic("games", "games", "Games and game engines.",
		"game, player, puzzle, arcade, chess, levels, enemies, multiplayer, board game, strategy, "+
			"shooter, card game"),
	topic("sound", "sound", "Playing, recording, editing and synthesizing audio.",
		"audio, music, MP3, ALSA, JACK, MIDI, synthesizer, plugin, playback, mixer, recording, songs"),
	topic("graphics", "graphics", "Viewing, editing and rendering images.",
		"image, viewer, PNG, JPEG, photo, drawing, 3D, rendering, camera, SVG, scanner, picture, pixel"),
	topic("fonts", "fonts", "Typefaces for the screen and for print.",
		"font, typeface, TrueType, OpenType, glyphs, serif, Unicode, sans, bold, italic, typography"),
	topic("math", "mathematics", "Numerical and symbolic mathematics.",
		"algebra, numerical, matrix, solver, linear, equations, polynomial, theorem, geometry, "+
			"optimization, statistics, graph"),
	topic("mail", "electronic mail", "Mail servers, mail clients and spam filters.",
		"mail, email, SMTP, IMAP, POP3, spam, mailbox, Postfix, Exim, mailing list, messages, Dovecot"),
	topic("database", "databases", "Database servers, clients and tools.",
		"SQL, PostgreSQL, MySQL, SQLite, query, database server, tables, MariaDB, replication, "+
			"schema, key value store"),
	topic("video", "video", "Playing, recording and converting video.",
		"video, movie, player, DVD, MPEG, ffmpeg, subtitles, streaming, codec, GStreamer, "+
			"television, playback"),
	topic("editors", "text editors", "Editors for text and source code.",
		"editor, Emacs, Vim, syntax highlighting, mode, editing, plugin, buffer, indentation, "+
			"word processor, LibreOffice"),
	topic("kernel", "kernel", "The operating system's kernel and its modules.",
		"Linux kernel, modules, headers, DKMS, driver, image, hardware, firmware, boot, architecture"),
	topic("hamradio", "amateur radio", "Software for radio amateurs.",
		"ham radio, amateur radio, AX.25, APRS, Morse, packet radio, antenna, transceiver, SDR, "+
			"callsign, rig, satellite"),
	topic("electronics", "electronics", "Designing and simulating circuits, programming chips.",
		"circuit, PCB, VHDL, Verilog, simulator, microcontroller, schematic, FPGA, chip, EDA, "+
			"programmer, Arduino"),
	topic("tex", "TeX", "Typesetting with TeX and LaTeX.",
		"TeX, LaTeX, typesetting, BibTeX, DVI, PostScript, document class, TeX Live, bibliography, "+
			"macros"),
	topic("vcs", "version control", "Systems that keep the versions of source code.",
		"git, Subversion, Mercurial, repository, commit, CVS, branch, merge, patch, diff, "+
			"revision control, Bazaar"),
	topic("shells", "shells", "Command shells and what extends them.",
		"shell, bash, zsh, command line, POSIX, prompt, completion, fish, scripts, interactive, login"),
	topic("science", "science", "Physics, chemistry, biology and astronomy.",
		"molecular, genome, sequence, DNA, astronomy, telescope, chemistry, protein, physics, "+
			"data analysis, simulation, bioinformatics"),
	topic("httpd", "web servers", "Web servers and their modules.",
		"Apache, nginx, HTTP server, module, web server, FastCGI, proxy, reverse proxy, WSGI, "+
			"requests, TLS"),
	topic("php", "PHP", "Libraries and extensions for PHP.",
		"PHP, PEAR, Symfony, component, extension, Composer, class, Zend, Horde, framework"),
	topic("java", "Java", "Libraries and tools for Java.",
		"Java, Maven, JVM, API, Apache Commons, jar, Eclipse, plugin, OSGi, XML, bytecode, servlet"),
	topic("haskell", "Haskell", "Libraries and tools for Haskell.",
		"Haskell, GHC, monad, type, functional, library, lazy, combinators, profiling, parser"),
}

// Debian returns packages of 20 sections as documents. The topic of a document is the section, and
// its text is the package's long description. packages has the format of a Packages file, and
// translation that of a Translation-en file of the same archive. The text does not contain the
// package's name, which often reveals the section.
func Debian(packages, translation io.Reader) (Set, error) {
	wanted := map[string]bool{}
	for _, t := range debianTopics {
		wanted[t.ID] = true
	}
	long := map[string]string{}
	if err := readStanzas(translation, func(fields map[string]string) {
		text := strings.ReplaceAll(fields["Description-en"], "\n .\n", "\n\n")
		long[fields["Description-md5"]] = text
	}); err != nil {
		return Set{}, fmt.Errorf("read descriptions: %w", err)
	}
	set, used := Set{Name: "debian", Topics: debianTopics}, map[string]bool{}
	if err := readStanzas(packages, func(fields map[string]string) {
		text := long[fields["Description-md5"]]
		if wanted[fields["Section"]] && text != "" && !used[text] {
			used[text] = true
			set.Documents = append(set.Documents, Document{Topic: fields["Section"], Text: text})
		}
	}); err != nil {
		return Set{}, fmt.Errorf("read packages: %w", err)
	}
	set.Documents = set.sample(debianSample, 1)
	return set, nil
}

// readStanzas calls each with the fields of every stanza of a Debian control file.
func readStanzas(r io.Reader, each func(fields map[string]string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	fields, name := map[string]string{}, ""
	for lines.Scan() {
		line := lines.Text()
		switch before, after, found := strings.Cut(line, ":"); {
		case line == "":
			each(fields)
			fields = map[string]string{}
		case line[0] == ' ':
			fields[name] += "\n" + line
		case found:
			name = before
			fields[name] = strings.TrimSpace(after)
		}
	}
	if len(fields) > 0 {
		each(fields)
	}
	return lines.Err()
}
