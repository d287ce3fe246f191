"""Invented words: places, networks, browsers, people and titles that the sandbox's data is made of."""

# country, region, city, lat, lon; region and city can be "" where the network does not tell
PLACES: tuple[tuple[str, str, str, float, float], ...] = (
    ("US", "Massachusetts", "Somerville", 42.4, -71.1),
    ("US", "Texas", "Austin", 30.3, -97.7),
    ("US", "California", "Oakland", 37.8, -122.3),
    ("US", "Oregon", "Bend", 44.1, -121.3),
    ("US", "Georgia", "Savannah", 32.1, -81.1),
    ("US", "", "", 37.8, -97.8),
    ("US", "Illinois", "Peoria", 40.7, -89.6),
    ("US", "New York", "Ithaca", 42.4, -76.5),
    ("US", "Hawaii", "Lāhainā", 20.9, -156.7),
    ("CA", "Quebec", "Trois-Rivières", 46.3, -72.5),
    ("CA", "British Columbia", "Nelson", 49.5, -117.3),
    ("GB", "England", "King's Lynn", 52.8, 0.4),
    ("GB", "Scotland", "Dundee", 56.5, -3.0),
    ("IE", "Munster", "Cork", 51.9, -8.5),
    ("DE", "North Rhine-Westphalia", "Münster", 52.0, 7.6),
    ("DE", "Saxony", "", 51.0, 13.7),
    ("FR", "Auvergne-Rhône-Alpes", "Saint-Étienne", 45.4, 4.4),
    ("FR", "Brittany", "L'Haÿ", 48.1, -1.7),
    ("ES", "Galicia", "A Coruña", 43.4, -8.4),
    ("BR", "São Paulo", "São José dos Campos", -23.2, -45.9),
    ("MX", "Jalisco", "Zapopan", 20.7, -103.4),
    ("PL", "Łódź Voivodeship", "Łódź", 51.8, 19.5),
    ("CZ", "South Moravian", "Brno", 49.2, 16.6),
    ("SE", "Skåne County", "Malmö", 55.6, 13.0),
    ("TR", "İzmir Province", "İzmir", 38.4, 27.1),
    ("JP", "", "京都市", 35.0, 135.8),
    ("KR", "Gyeonggi-do", "수원시", 37.3, 127.0),
    ("IN", "Karnataka", "Mysuru", 12.3, 76.6),
    ("AU", "Victoria", "Geelong", -38.1, 144.4),
    ("NZ", "Otago", "Dunedin", -45.9, 170.5),
    ("ZA", "Western Cape", "Stellenbosch", -33.9, 18.9),
    ("SG", "", "Singapore", 1.3, 103.9),
)

NETWORKS: tuple[str, ...] = (
    "Example Cable",
    "Northern Lights Broadband",
    "",
    "Harbour Mobile",
    "Fjord & Sons Fibre",
    "O'Malley Telecom",
    "Télé Exemple S.A.",
    "Campus Network, Inc.",
    "Blue Hill Wireless",
    "",
)

AGENT = ("browser", "browser_version", "platform", "mobile")
AGENTS: tuple[tuple[str, str, str, bool], ...] = (
    ("Chrome", "131", "Windows", False),
    ("Chrome", "131", "Mac OS", False),
    ("Safari", "18", "iOS (iPhone)", True),
    ("Safari", "17.6", "Mac OS", False),
    ("Firefox", "133", "Windows", False),
    ("Chrome", "130", "Android", True),
    ("Microsoft Edge", "131", "Windows", False),
    ("Samsung Browser", "27", "Android", True),
    ("Safari", "18", "iOS (iPad)", False),
    ("Unknown Browser", "0", "Unknown", False),
)

# "" where the player was not embedded; some carry tracking, some the viewer's own address
EMBED_URLS: tuple[str, ...] = (
    "https://www.example.com/",
    "https://www.example.com/courses/getting-started",
    "https://www.example.com/pricing?utm_source=newsletter&utm_medium=email&utm_campaign=spring%20launch",
    "https://blog.example.org/2024/how-we-film",
    "",
    "https://www.example.com/webinar?wemail=someone@example.com",
    "https://support.example.com/articles/104?utm_source=chat",
    "https://learn.example.org/lektion/übersicht",
    "https://www.example.com/demo",
    "https://www.example.com/demo?utm_source=ads&utm_content=b",
)

FIRST_NAMES: tuple[str, ...] = (
    "Ana", "Björn", "Chloé", "Dmitri", "Eilís", "Farah", "Giulia", "Håkon", "Ines", "José",
    "Keiko", "Łukasz", "Maya", "Noor", "Óscar", "Priya", "Quentin", "Rhys", "Søren", "Tomáš",
)  # fmt: skip

LAST_NAMES: tuple[str, ...] = (
    "Andersen", "Baptiste", "Çelik", "Dvořák", "Eriksson", "Fournier", "García", "Hughes", "Ibrahim",
    "Jansen", "Kowalski", "Lefèvre", "Müller", "Nakamura", "O'Brien", "Peña", "Quinn", "Rossi",
    "Şahin", "Tanaka",
)  # fmt: skip

TITLES: tuple[str, ...] = ("Head of Learning", "Marketing", "VP, Sales", "Développeuse", "Owner")

COMPANIES: tuple[str, ...] = ("Example & Co.", "Beispiel GmbH", "O'Hara's", "Example, Inc.", "例え株式会社")

SUBJECTS: tuple[str, ...] = (
    "Welcome tour",
    "Pricing explained",
    "Customer story: Bäckerei Süß",
    "Product launch 🚀",
    "How to film at home",
    "What's new",
    'The "quiet" release',
    "Webinar: Q&A, part one",
    "Einführung für Anfänger",
    "Présentation générale",
    "C:\\Users\\demo walkthrough",
    "日本語ガイド",
    "Team day 🎬✨",
    "Support basics",
    "Roadmap; questions & answers",
    "Sound check",
)

FORMATS: tuple[str, ...] = ("", " (short)", " - 2024 edit", ", take 2", " [draft]", " | final", " 👍", " #3")

DESCRIPTIONS: tuple[str, ...] = (
    "",
    "\n",
    '<p>It\'s the <b>short</b> version,\nmade for "busy" people.</p>\n<p>&nbsp;</p>\n',
    "Plain words, with commas, and nothing else.",
    "",
    "Back\\slash, tab\tand O'Neill's \"quotes\".",
    "<ul>\n<li>Größe</li>\n<li>Über uns</li>\n</ul>",
    "Erzählt von Zoë 🎙️",
)

PROJECT_NAMES: tuple[str, ...] = (
    "Marketing",
    "Onboarding 🎓",
    "Customer stories",
    "Webinars, 2024",
    "Schulungen für Partner",
    "It's internal",
    'Archive "old" site',
    "Product \\ Engineering",
)

SECTIONS: tuple[str, ...] = ("Basics", "For teams", "Geschichten", "Extras, etc.")

TAGS: tuple[str, ...] = ("onboarding", "évergreen", "q3", "needs review", "sales")

# English name, native name, ISO 639-2 code
LANGUAGES: tuple[tuple[str, str, str], ...] = (
    ("English", "English", "eng"),
    ("German", "Deutsch", "deu"),
    ("French", "Français", "fra"),
    ("Spanish", "Español", "spa"),
    ("Japanese", "日本語", "jpn"),
)

CAPTION_LINES: tuple[str, ...] = (
    "Hello, and welcome.\nIt's good to have you.",
    "Schön, dass Sie da sind.",
    "Bonjour à toutes et à tous.",
    "¿Qué tal?\n[música]",
    "ようこそ。",
)
