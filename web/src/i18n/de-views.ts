// The German texts of the views that are loaded when they are shown.
import type { ViewMessages } from "./index.js";

export const views: ViewMessages = {
  // A document
  "document.back": "Zurück zur Liste",
  "document.by": "Einsortiert von",
  "document.chosen": "Selbst gewählt",
  "document.copied": "Kopiert.",
  "document.copy": "SHA-256-Prüfsumme kopieren",
  "document.digest": "SHA-256",
  "document.duplicateOf": "Gleicher Inhalt wie",
  "document.duplicateOther": "ein anderes Dokument",
  "document.facts": "Einzelheiten",
  "document.gone": "Dieses Dokument gibt es nicht mehr.",
  "document.next": "Nächstes Dokument",
  "document.noFile": "Es gibt keine Datei zum Zeigen.",
  "document.noPreview": "Keine Vorschau für diese Art von Datei",
  "document.noPreview.how": "Zum Öffnen bitte herunterladen.",
  "document.empty": "Diese Datei ist leer.",
  "document.part":
    "Nur der Anfang ist zu sehen: {part} von {size}. Den Rest zeigt die heruntergeladene Datei.",
  "document.preview": "Vorschau",
  "document.previous": "Voriges Dokument",
  "document.rename": "Umbenennen",
  "document.name": "Name des Dokuments",
  "document.name.wrong":
    "Ein Name hat 1 bis 255 Zeichen, keine Schrägstriche und keine unsichtbaren Zeichen.",
  "document.size": "Größe",
  "document.sorted": "Einsortiert",
  "document.sortedAt": "Einsortiert",
  "document.type": "Art",
  "document.uploadedAt": "Hochgeladen",
  "kind.mail": "E-Mail",
  "kind.other": "Datei",
  "kind.pdf": "PDF",
  "kind.picture": "Bild",
  "kind.presentation": "Präsentation",
  "kind.table": "Tabelle",
  "kind.text": "Text",
  "kind.writing": "Textdokument",

  // Topics
  "topic.about":
    "Dokumente werden nach ihrem Inhalt in Themen einsortiert. Ein Name und ein paar Stichwörter genügen; mit einer Beschreibung wird es genauer.",
  "topic.accept": "Annehmen",
  "topic.acceptNamed": "{name} annehmen",
  "topic.add": "Thema hinzufügen",
  "topic.choose": "Thema wählen",
  "topic.count": { one: "{n} Dokument", other: "{n} Dokumente" },
  "topic.countMost": "{n} Dokumente oder mehr",
  "topic.keywordCount": { one: "{n} Stichwort", other: "{n} Stichwörter" },
  "topic.unused": "Kein Dokument",
  "topic.create": "Neues Thema",
  "topic.createNamed": "„{name}“ anlegen",
  "topic.delete": "„{name}“ löschen?",
  "topic.delete.none":
    "Kein Dokument hat dieses Thema. Das Löschen lässt sich nicht rückgängig machen.",
  "topic.delete.some": {
    one:
      "{n} Dokument verliert dieses Thema. Das Dokument selbst bleibt. Das lässt sich nicht rückgängig machen.",
    other:
      "{n} Dokumente verlieren dieses Thema. Die Dokumente selbst bleiben. Das lässt sich nicht rückgängig machen.",
  },
  "topic.delete.system":
    "Das Thema wird bei allen aus den Dokumenten entfernt. Die Dokumente bleiben.",
  "topic.deleteNamed": "{name} löschen",
  "topic.description": "Beschreibung",
  "topic.description.hint": "Worum es in den Dokumenten geht, in einem Satz.",
  "topic.description.wrong": "Eine Beschreibung hat höchstens 500 Zeichen.",
  "topic.drop": "Verwerfen",
  "topic.dropNamed": "{name} verwerfen",
  "topic.edit": "Thema ändern",
  "topic.editNamed": "{name} ändern",
  "topic.find": "Thema suchen",
  "topic.first": "Noch gibt es keine Themen",
  "topic.keywords": "Stichwörter",
  "topic.keywords.hint":
    "Wörter, die in solchen Dokumenten vorkommen. Jedes endet mit der Eingabetaste oder einem Komma.",
  "topic.keywords.wrong": "Möglich sind 50 Stichwörter mit 1 bis 40 Zeichen.",
  "topic.merge": "Zusammenführen",
  "topic.mergeNamed": "{name} mit einem anderen Thema zusammenführen",
  "topic.merged": "„{from}“ gehört jetzt zu „{into}“.",
  "topic.merging": "Dokumente kommen zu „{into}“: {done} von {of}",
  "topic.mergeFailed": "Das Zusammenführen mit „{into}“ wurde unterbrochen. {why}",
  "topic.name": "Name",
  "topic.name.wrong": "Ein Name hat 1 bis 40 Zeichen.",
  "topic.noneYet": "Noch gibt es keine Themen. Ein Name legt eines an.",
  "topic.notFound": "Kein Thema hat diesen Namen.",
  "topic.own": "Eigene Themen",
  "topic.own.none": "Noch gibt es keine eigenen Themen.",
  "topic.removeNamed": "{name} entfernen",
  "topic.shared": "Für alle",
  "topic.shared.about": "Diese Themen haben alle hier. Sie werden in der Verwaltung gepflegt.",
  "topic.suggestions": "Vorgeschlagene Themen",
  "topic.suggestions.about":
    "Diese Namen wurden beim Einsortieren vorgeschlagen. Nützliches annehmen, Gleichbedeutendes mit einem anderen Thema zusammenführen, den Rest verwerfen.",

  // Needs you
  "needs.all": "Alle zeigen",
  "needs.chooseTopic": "Thema wählen: {name}",
  "needs.delete": "{name} löschen",
  "needs.dismiss": "Ausblenden",
  "needs.dismissAll": "Alle ausblenden",
  "needs.done": "Nichts zu klären",
  "needs.done.about": "Hier erscheint, was nicht von selbst einsortiert werden kann.",
  "needs.interrupted": "Unterbrochene Uploads",
  "needs.interrupted.about":
    "Bitte jede Datei erneut auswählen. Was schon angekommen ist, wird nicht noch einmal gesendet.",
  "needs.noTopic": "Kein Thema passt",
  "needs.noTopic.about":
    "Bitte ein Thema wählen oder anlegen. Ähnliche Dokumente werden dann von selbst einsortiert.",
  "needs.refused": "Abgelehnt oder unvollständig",
  "needs.refused.about":
    "Diese Dateien werden nicht behalten. Bitte Nötiges erneut hochladen und den Rest ausblenden. Nach einem Tag verschwinden sie von selbst.",
  "needs.sortAgain": "{name} neu einsortieren",

  // Account
  signOut: "Abmelden",
  "signOut.sending": {
    one: "{n} Datei ist noch nicht gesendet. Abmelden bricht sie ab. Danach erneut auswählen.",
    other:
      "{n} Dateien sind noch nicht gesendet. Abmelden bricht sie ab. Danach erneut auswählen.",
  },
  "signOut.stay": "Bleiben",
  "account.about": "Zur Person",
  "account.role": "Rolle",
  "account.since": "Dabei seit",
  "role.admin": "Verwaltung",
  "role.user": "Benutzer",
  "space.left": "{left} frei",
  "space.largest": "Größte Dokumente zeigen",
  password: "Passwort",
  "password.current": "Jetziges Passwort",
  "password.new": "Neues Passwort",
  "password.rule":
    "Mindestens {n} Zeichen. Ein paar beliebige Wörter sind leichter zu merken als Sonderzeichen.",
  "password.show": "Passwörter zeigen",
  "password.change": "Passwort ändern",
  "password.others": "Alle anderen Geräte werden abgemeldet.",
  "password.changed": "Passwort geändert. Alle anderen Geräte sind abgemeldet.",
  "password.short": {
    one: "{n} Zeichen fehlt.",
    other: "{n} Zeichen fehlen.",
  },
  "password.long": "Höchstens {n} Zeichen.",
  "password.wrong": "Das ist nicht das jetzige Passwort.",
  "password.refused":
    "Das ist zu leicht zu erraten oder das jetzige Passwort. Bitte ein anderes wählen.",
  "password.none":
    "Dieses Konto hat hier kein Passwort. Anmeldung und Passwort liegen bei {issuer}.",
  "password.none.other":
    "Dieses Konto hat hier kein Passwort. Die Anmeldung läuft über die eigene Organisation.",
  language: "Sprache",
  "language.failed":
    "Diese Sprache konnte nicht geladen werden. Bitte mit Verbindung erneut versuchen.",

  // Administration
  people: "Personen",
  "people.ai": "KI",
  "people.more": "Mehr zeigen",
  "people.failed": "Die Liste der Personen konnte nicht gelesen werden.",
  "people.edit": "Speicherplatz und KI ändern",
  "people.change": "{name} ändern",
  "people.actions": "Aktionen",
  "people.changed": "{name} wurde geändert.",
  "people.full": "Uploads werden abgelehnt, bis Platz ist: {used} sind belegt.",
  "limit.default": "Voreinstellung des Servers verwenden",
  "limit.unit": "Einheit",
  "limit.wrong": "Bitte eine Zahl eingeben, die nicht negativ und nicht zu groß ist.",
  "ai.provider": "KI-Anbieter",
  "ai.default": "Voreinstellung",
  "ai.builtin": "Eingebaut",
  "ai.model": "Modell",
  "ai.model.hint": "Leer: das voreingestellte Modell des Anbieters.",
  "ai.notConfigured":
    "Dieser Anbieter ist auf dem Server nicht eingerichtet. Bitte einen anderen wählen.",
  "ai.model.wrong": "Höchstens {n} Zeichen, keine Steuerzeichen.",
  systemTopics: "Gemeinsame Themen",
  "systemTopics.about": "Diese Themen können die Dokumente aller bekommen.",
  "systemTopics.none": "Noch gibt es keine gemeinsamen Themen.",
};
