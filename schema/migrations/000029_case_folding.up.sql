-- Compares email addresses and topic names by Unicode case folding, records which AI providers are
-- configured, and lets users see whether they have a password.
--
-- Until now they were compared by lower(), for which "Straße" and "STRASSE", "Σίσυφος" and
-- "ΣΊΣΥΦΟΣ", and an "é" that is one character and one that is two are different.
BEGIN;

-- Returns the NFC form of the full case folding of a text: two texts with the same result differ
-- only in case or in their Unicode normalization form (canonical caseless matching, definition D145
-- of the Unicode standard). The result does not depend on the locale of the database, and is the
-- same as that of FoldCase in the Go package schema.
CREATE FUNCTION fold_case(t text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    upper_case CONSTANT text :=
        'µÆÐØÞĐĦĲĿŁŊŒŦſƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƢƤƦƧƩƬƮƱƲƳƵƷƸƼǄǅǇǈǊǋǤǱǲǶǷȜȠȢȤȺȻȽȾɁɃɄɅɆɈɊɌɎͅͰͲͶ'
        'ͿΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςϏϐϑϕϖϘϚϜϞϠϢϤϦϨϪϬϮϰϱϴϵϷϹϺϽϾϿЂЄЅІЈЉЊЋЏАБВГДЕЖЗИКЛМНОПРСТ'
        'УФХЦЧШЩЪЫЬЭЮЯѠѢѤѦѨѪѬѮѰѲѴѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӃӅӇӉӋӍӔӘӠӨӶӺӼӾԀԂԄԆԈԊԌԎԐ'
        'ԒԔԖԘԚԜԞԠԢԤԦԨԪԬԮԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖႠႡႢႣႤႥႦႧႨႩႪႫႬႭႮႯႰႱႲႳႴႵႶႷႸႹႺ'
        'ႻႼႽႾႿჀჁჂჃჄჅჇჍᎠᎡᎢᎣᎤᎥᎦᎧᎨᎩᎪᎫᎬᎭᎮᎯᎰᎱᎲᎳᎴᎵᎶᎷᎸᎹᎺᎻᎼᎽᎾᎿᏀᏁᏂᏃᏄᏅᏆᏇᏈᏉᏊᏋᏌᏍᏎᏏᏐᏑᏒᏓᏔᏕᏖᏗᏘᏙᏚᏛᏜᏝᏞᏟᏠᏡᏢ'
        'ᏣᏤᏥᏦᏧᏨᏩᏪᏫᏬᏭᏮᏯᏰᏱᏲᏳᏴᏵᏸᏹᏺᏻᏼᏽᲀᲁᲂᲃᲄᲅᲆᲇᲈᲐᲑᲒᲓᲔᲕᲖᲗᲘᲙᲚᲛᲜᲝᲞᲟᲠᲡᲢᲣᲤᲥᲦᲧᲨᲩᲪᲫᲬᲭᲮᲯᲰᲱᲲᲳᲴᲵᲶᲷᲸᲹᲺᲽᲾᲿ'
        'ỺỼỾℲⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫⅬⅭⅮⅯↃⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓀⓁⓂⓃⓄⓅⓆⓇⓈⓉⓊⓋⓌⓍⓎⓏⰀⰁⰂⰃⰄⰅⰆⰇⰈⰉⰊⰋⰌⰍⰎⰏⰐⰑⰒⰓⰔⰕⰖⰗⰘⰙⰚⰛⰜⰝⰞⰟⰠ'
        'ⰡⰢⰣⰤⰥⰦⰧⰨⰩⰪⰫⰬⰭⰮⰯⱠⱢⱣⱤⱧⱩⱫⱭⱮⱯⱰⱲⱵⱾⱿⲀⲂⲄⲆⲈⲊⲌⲎⲐⲒⲔⲖⲘⲚⲜⲞⲠⲢⲤⲦⲨⲪⲬⲮⲰⲲⲴⲶⲸⲺⲼⲾⳀⳂⳄⳆⳈⳊⳌⳎⳐⳒⳔⳖⳘⳚⳜⳞⳠⳢ'
        'ⳫⳭⳲꙀꙂꙄꙆꙈꙊꙌꙎꙐꙒꙔꙖꙘꙚꙜꙞꙠꙢꙤꙦꙨꙪꙬꚀꚂꚄꚆꚈꚊꚌꚎꚐꚒꚔꚖꚘꚚꜢꜤꜦꜨꜪꜬꜮꜲꜴꜶꜸꜺꜼꜾꝀꝂꝄꝆꝈꝊꝌꝎꝐꝒꝔꝖꝘꝚꝜꝞꝠꝢꝤꝦꝨꝪꝬꝮꝹꝻ'
        'ꝽꝾꞀꞂꞄꞆꞋꞍꞐꞒꞖꞘꞚꞜꞞꞠꞢꞤꞦꞨꞪꞫꞬꞭꞮꞰꞱꞲꞳꞴꞶꞸꞺꞼꞾꟀꟂꟄꟅꟆꟇꟉꟐꟖꟘꟵꭰꭱꭲꭳꭴꭵꭶꭷꭸꭹꭺꭻꭼꭽꭾꭿꮀꮁꮂꮃꮄꮅꮆꮇꮈꮉꮊꮋꮌꮍꮎꮏꮐꮑ'
        'ꮒꮓꮔꮕꮖꮗꮘꮙꮚꮛꮜꮝꮞꮟꮠꮡꮢꮣꮤꮥꮦꮧꮨꮩꮪꮫꮬꮭꮮꮯꮰꮱꮲꮳꮴꮵꮶꮷꮸꮹꮺꮻꮼꮽꮾꮿＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ𐐀𐐁𐐂𐐃𐐄𐐅𐐆𐐇'
        '𐐈𐐉𐐊𐐋𐐌𐐍𐐎𐐏𐐐𐐑𐐒𐐓𐐔𐐕𐐖𐐗𐐘𐐙𐐚𐐛𐐜𐐝𐐞𐐟𐐠𐐡𐐢𐐣𐐤𐐥𐐦𐐧𐒰𐒱𐒲𐒳𐒴𐒵𐒶𐒷𐒸𐒹𐒺𐒻𐒼𐒽𐒾𐒿𐓀𐓁𐓂𐓃𐓄𐓅𐓆𐓇𐓈𐓉𐓊𐓋𐓌𐓍𐓎𐓏𐓐𐓑𐓒𐓓𐕰𐕱𐕲𐕳𐕴𐕵𐕶𐕷𐕸𐕹𐕺𐕼'
        '𐕽𐕾𐕿𐖀𐖁𐖂𐖃𐖄𐖅𐖆𐖇𐖈𐖉𐖊𐖌𐖍𐖎𐖏𐖐𐖑𐖒𐖔𐖕𐲀𐲁𐲂𐲃𐲄𐲅𐲆𐲇𐲈𐲉𐲊𐲋𐲌𐲍𐲎𐲏𐲐𐲑𐲒𐲓𐲔𐲕𐲖𐲗𐲘𐲙𐲚𐲛𐲜𐲝𐲞𐲟𐲠𐲡𐲢𐲣𐲤𐲥𐲦𐲧𐲨𐲩𐲪𐲫𐲬𐲭𐲮𐲯𐲰𐲱𐲲𑢠𑢡𑢢𑢣𑢤𑢥'
        '𑢦𑢧𑢨𑢩𑢪𑢫𑢬𑢭𑢮𑢯𑢰𑢱𑢲𑢳𑢴𑢵𑢶𑢷𑢸𑢹𑢺𑢻𑢼𑢽𑢾𑢿𖹀𖹁𖹂𖹃𖹄𖹅𖹆𖹇𖹈𖹉𖹊𖹋𖹌𖹍𖹎𖹏𖹐𖹑𖹒𖹓𖹔𖹕𖹖𖹗𖹘𖹙𖹚𖹛𖹜𖹝𖹞𖹟𞤀𞤁𞤂𞤃𞤄𞤅𞤆𞤇𞤈𞤉𞤊𞤋𞤌𞤍𞤎𞤏𞤐𞤑𞤒𞤓𞤔𞤕'
        '𞤖𞤗𞤘𞤙𞤚𞤛𞤜𞤝𞤞𞤟𞤠𞤡';
    lower_case CONSTANT text :=
        'μæðøþđħĳŀłŋœŧsɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵƣƥʀƨʃƭʈʊʋƴƶʒƹƽǆǆǉǉǌǌǥǳǳƕƿȝƞȣȥⱥȼƚⱦɂƀʉʌɇɉɋɍɏιͱͳͷ'
        'ϳαβγδεζηθικλμνξοπρστυφχψωσϗβθφπϙϛϝϟϡϣϥϧϩϫϭϯκρθεϸϲϻͻͼͽђєѕіјљњћџабвгдежзиклмнопрст'
        'уфхцчшщъыьэюяѡѣѥѧѩѫѭѯѱѳѵѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӏӄӆӈӊӌӎӕәӡөӷӻӽӿԁԃԅԇԉԋԍԏԑ'
        'ԓԕԗԙԛԝԟԡԣԥԧԩԫԭԯաբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆⴀⴁⴂⴃⴄⴅⴆⴇⴈⴉⴊⴋⴌⴍⴎⴏⴐⴑⴒⴓⴔⴕⴖⴗⴘⴙⴚ'
        'ⴛⴜⴝⴞⴟⴠⴡⴢⴣⴤⴥⴧⴭꭰꭱꭲꭳꭴꭵꭶꭷꭸꭹꭺꭻꭼꭽꭾꭿꮀꮁꮂꮃꮄꮅꮆꮇꮈꮉꮊꮋꮌꮍꮎꮏꮐꮑꮒꮓꮔꮕꮖꮗꮘꮙꮚꮛꮜꮝꮞꮟꮠꮡꮢꮣꮤꮥꮦꮧꮨꮩꮪꮫꮬꮭꮮꮯꮰꮱꮲ'
        'ꮳꮴꮵꮶꮷꮸꮹꮺꮻꮼꮽꮾꮿᏸᏹᏺᏻᏼᏽᏰᏱᏲᏳᏴᏵвдосттъѣꙋაბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰჱჲჳჴჵჶჷჸჹჺჽჾჿ'
        'ỻỽỿⅎⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅺⅻⅼⅽⅾⅿↄⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩⰰⰱⰲⰳⰴⰵⰶⰷⰸⰹⰺⰻⰼⰽⰾⰿⱀⱁⱂⱃⱄⱅⱆⱇⱈⱉⱊⱋⱌⱍⱎⱏⱐ'
        'ⱑⱒⱓⱔⱕⱖⱗⱘⱙⱚⱛⱜⱝⱞⱟⱡɫᵽɽⱨⱪⱬɑɱɐɒⱳⱶȿɀⲁⲃⲅⲇⲉⲋⲍⲏⲑⲓⲕⲗⲙⲛⲝⲟⲡⲣⲥⲧⲩⲫⲭⲯⲱⲳⲵⲷⲹⲻⲽⲿⳁⳃⳅⳇⳉⳋⳍⳏⳑⳓⳕⳗⳙⳛⳝⳟⳡⳣ'
        'ⳬⳮⳳꙁꙃꙅꙇꙉꙋꙍꙏꙑꙓꙕꙗꙙꙛꙝꙟꙡꙣꙥꙧꙩꙫꙭꚁꚃꚅꚇꚉꚋꚍꚏꚑꚓꚕꚗꚙꚛꜣꜥꜧꜩꜫꜭꜯꜳꜵꜷꜹꜻꜽꜿꝁꝃꝅꝇꝉꝋꝍꝏꝑꝓꝕꝗꝙꝛꝝꝟꝡꝣꝥꝧꝩꝫꝭꝯꝺꝼ'
        'ᵹꝿꞁꞃꞅꞇꞌɥꞑꞓꞗꞙꞛꞝꞟꞡꞣꞥꞧꞩɦɜɡɬɪʞʇʝꭓꞵꞷꞹꞻꞽꞿꟁꟃꞔʂᶎꟈꟊꟑꟗꟙꟶᎠᎡᎢᎣᎤᎥᎦᎧᎨᎩᎪᎫᎬᎭᎮᎯᎰᎱᎲᎳᎴᎵᎶᎷᎸᎹᎺᎻᎼᎽᎾᎿᏀᏁ'
        'ᏂᏃᏄᏅᏆᏇᏈᏉᏊᏋᏌᏍᏎᏏᏐᏑᏒᏓᏔᏕᏖᏗᏘᏙᏚᏛᏜᏝᏞᏟᏠᏡᏢᏣᏤᏥᏦᏧᏨᏩᏪᏫᏬᏭᏮᏯａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ𐐨𐐩𐐪𐐫𐐬𐐭𐐮𐐯'
        '𐐰𐐱𐐲𐐳𐐴𐐵𐐶𐐷𐐸𐐹𐐺𐐻𐐼𐐽𐐾𐐿𐑀𐑁𐑂𐑃𐑄𐑅𐑆𐑇𐑈𐑉𐑊𐑋𐑌𐑍𐑎𐑏𐓘𐓙𐓚𐓛𐓜𐓝𐓞𐓟𐓠𐓡𐓢𐓣𐓤𐓥𐓦𐓧𐓨𐓩𐓪𐓫𐓬𐓭𐓮𐓯𐓰𐓱𐓲𐓳𐓴𐓵𐓶𐓷𐓸𐓹𐓺𐓻𐖗𐖘𐖙𐖚𐖛𐖜𐖝𐖞𐖟𐖠𐖡𐖣'
        '𐖤𐖥𐖦𐖧𐖨𐖩𐖪𐖫𐖬𐖭𐖮𐖯𐖰𐖱𐖳𐖴𐖵𐖶𐖷𐖸𐖹𐖻𐖼𐳀𐳁𐳂𐳃𐳄𐳅𐳆𐳇𐳈𐳉𐳊𐳋𐳌𐳍𐳎𐳏𐳐𐳑𐳒𐳓𐳔𐳕𐳖𐳗𐳘𐳙𐳚𐳛𐳜𐳝𐳞𐳟𐳠𐳡𐳢𐳣𐳤𐳥𐳦𐳧𐳨𐳩𐳪𐳫𐳬𐳭𐳮𐳯𐳰𐳱𐳲𑣀𑣁𑣂𑣃𑣄𑣅'
        '𑣆𑣇𑣈𑣉𑣊𑣋𑣌𑣍𑣎𑣏𑣐𑣑𑣒𑣓𑣔𑣕𑣖𑣗𑣘𑣙𑣚𑣛𑣜𑣝𑣞𑣟𖹠𖹡𖹢𖹣𖹤𖹥𖹦𖹧𖹨𖹩𖹪𖹫𖹬𖹭𖹮𖹯𖹰𖹱𖹲𖹳𖹴𖹵𖹶𖹷𖹸𖹹𖹺𖹻𖹼𖹽𖹾𖹿𞤢𞤣𞤤𞤥𞤦𞤧𞤨𞤩𞤪𞤫𞤬𞤭𞤮𞤯𞤰𞤱𞤲𞤳𞤴𞤵𞤶𞤷'
        '𞤸𞤹𞤺𞤻𞤼𞤽𞤾𞤿𞥀𞥁𞥂𞥃';
    expansions CONSTANT text[] := '{
        ß, ss, ẞ, ss, ŉ, ʼn, ẚ, aʾ, ﬀ, ff, ﬁ, fi, ﬂ, fl, ﬃ, ffi, ﬄ, ffl, ﬅ, st, ﬆ, st,
        և, եւ, ﬓ, մն, ﬔ, մե, ﬕ, մի, ﬖ, վն, ﬗ, մխ}';
    folded text;
BEGIN
    -- The collation "C" has case for the letters of ASCII only.
    IF octet_length(t) = char_length(t) THEN
        RETURN lower(t COLLATE "C");
    END IF;
    folded := lower(normalize(t, NFD) COLLATE "C");
    folded := translate(folded, upper_case, lower_case);
    FOR i IN 1 .. cardinality(expansions) BY 2 LOOP
        folded := replace(folded, expansions[i], expansions[i + 1]);
    END LOOP;
    RETURN normalize(folded, NFC);
END
$$;
REVOKE ALL ON FUNCTION fold_case(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fold_case(text) TO api, worker;

-- Users whose addresses differ only in case or normalization form could exist. The oldest of them
-- has the address; the others keep their accounts and are found by the exact spelling of theirs.
ALTER TABLE users ADD COLUMN exact_email boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN users.exact_email IS 'an older user has the same address, ignoring case and Unicode normalization form; this one is found only by the exact spelling';
UPDATE users SET exact_email = true FROM (
    SELECT id, row_number() OVER (PARTITION BY fold_case(email) ORDER BY created_at, id) AS n
    FROM users) AS same
    WHERE same.id = users.id AND same.n > 1;
DO $$
DECLARE
    addresses text;
BEGIN
    SELECT string_agg(email, ', ' ORDER BY email) INTO addresses
        FROM (SELECT email FROM users WHERE exact_email LIMIT 100) AS first;
    IF addresses IS NOT NULL THEN
        RAISE NOTICE 'these accounts have the same address as an older one, ignoring case and Unicode normalization form, and are found only by the exact spelling: %', addresses;
    END IF;
END
$$;
DROP INDEX users_email_ignoring_case;
CREATE UNIQUE INDEX users_email_ignoring_case ON users (fold_case(email)) WHERE NOT exact_email;

-- Returns the account with the email address, in this spelling or ignoring case and normalization
-- form. It is the only way for the role api to read another user's password hash.
CREATE OR REPLACE FUNCTION account_by_email(email text)
    RETURNS TABLE (id uuid, password_hash text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT u.id, coalesce(u.password_hash, ''), u.role FROM users AS u
    WHERE u.email = account_by_email.email
        OR (fold_case(u.email) = fold_case(account_by_email.email) AND NOT u.exact_email)
    ORDER BY u.email = account_by_email.email DESC LIMIT 1
$$;

-- Topics whose names differ only in case or normalization form get different names: the oldest
-- keeps its name, and the others become "name (2)" and so on.
DROP INDEX topics_name_in_namespace;
DO $$
DECLARE
    same record;
    new_name text;
BEGIN
    FOR same IN
        SELECT id, user_id, name FROM (
            SELECT id, user_id, name,
                row_number() OVER (PARTITION BY user_id, fold_case(name) ORDER BY created_at, id) AS n
            FROM topics) AS t
        WHERE n > 1
    LOOP
        FOR i IN 2 .. 1000 LOOP
            new_name := rtrim(left(same.name, 33)) || ' (' || i || ')';
            EXIT WHEN NOT EXISTS (SELECT FROM topics AS t
                WHERE t.user_id IS NOT DISTINCT FROM same.user_id
                    AND fold_case(t.name) = fold_case(new_name));
        END LOOP;
        UPDATE topics SET name = new_name WHERE id = same.id;
    END LOOP;
END
$$;
CREATE UNIQUE INDEX topics_name_in_namespace ON topics (user_id, fold_case(name))
    NULLS NOT DISTINCT;

ALTER TABLE users ADD COLUMN has_password boolean NOT NULL
    GENERATED ALWAYS AS (password_hash IS NOT NULL) STORED;
GRANT SELECT (has_password) ON users TO api;

DROP FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text);

-- Returns up to max_rows users in the order of their ids, starting after the id, or with the first
-- user if it is NULL. Only an administrator may call it.
CREATE FUNCTION admin_users(after uuid, max_rows integer)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        has_password boolean, created_at timestamptz, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    -- OFFSET 0 makes the planner look each quota up by the index.
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes
        FROM users AS u CROSS JOIN LATERAL (
            SELECT x.limit_bytes, x.used_bytes FROM quotas AS x WHERE x.user_id = u.id OFFSET 0) AS q
        WHERE u.id > coalesce(admin_users.after, '00000000-0000-0000-0000-000000000000')
        ORDER BY u.id LIMIT max_rows;
END
$$;

-- Returns a user, or no row if the user does not exist. Only an administrator may call it.
CREATE FUNCTION admin_user(target uuid)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        has_password boolean, created_at timestamptz, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    RETURN QUERY
        SELECT u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes
        FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = target;
END
$$;

-- Changes a user and returns it, or no row if the user does not exist. NULL leaves a value as it
-- is; '' selects the default. Only an administrator may call it.
CREATE FUNCTION admin_change_user(target uuid, new_limit bigint, new_provider text, new_model text)
    RETURNS TABLE (id uuid, email text, role text, ai_provider text, ai_model text,
        has_password boolean, created_at timestamptz, limit_bytes bigint, used_bytes bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM require_admin();
    UPDATE quotas AS q SET limit_bytes = coalesce(new_limit, q.limit_bytes)
        WHERE q.user_id = target;
    RETURN QUERY
        UPDATE users AS u SET
            ai_provider = coalesce(new_provider, u.ai_provider),
            ai_model    = coalesce(new_model, u.ai_model)
        FROM quotas AS q WHERE u.id = target AND q.user_id = u.id
        RETURNING u.id, u.email, u.role, u.ai_provider, u.ai_model, u.has_password, u.created_at,
            q.limit_bytes, q.used_bytes;
END
$$;

REVOKE ALL ON FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION admin_users(uuid, integer), admin_user(uuid),
    admin_change_user(uuid, bigint, text, text) TO api;

CREATE TABLE ai_providers (
    provider text PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ai_providers IS 'the AI providers that consumers have configured';
COMMENT ON COLUMN ai_providers.noted_at IS 'when a consumer last noted that it has the provider';
ALTER TABLE ai_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON ai_providers TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY worker ON ai_providers TO worker USING (true) WITH CHECK (true);
CREATE POLICY api ON ai_providers FOR SELECT TO api USING (true);
GRANT SELECT, INSERT, UPDATE (noted_at) ON ai_providers TO worker;
GRANT SELECT ON ai_providers TO api;

INSERT INTO applied_migrations (version) VALUES (29) ON CONFLICT DO NOTHING;

COMMIT;
