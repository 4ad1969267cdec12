import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

/**
 * What a SQL workbench such as DBeaver does through the stock Arrow Flight SQL JDBC driver: its questions of
 * DatabaseMetaData on connecting and on opening a table, and how it runs, pages, cancels and edits. One line per check,
 * exit code 1 when one fails. A check of lacks() is of what the driver (18.3.0) itself does not do: it must fail with
 * the words named, and fails when the driver begins to. Argument: the JDBC URL. Conformance.java has the basics.
 */
public final class Metadata {
    private interface Check {
        void run(Connection con) throws Exception;
    }

    private static int failed = 0;
    private static String url;

    public static void main(String[] args) throws Exception {
        url = args[0];
        check("on connect: product, versions, names", Metadata::product);
        check("on connect: largest sizes", Metadata::maxima);
        check("on connect: what it supports", Metadata::supports);
        check("on connect: keywords and functions", Metadata::keywords);
        check("navigator: catalogs and schemas", Metadata::schemas);
        check("navigator: tables by pattern and type", Metadata::tables);
        check("open a table: columns", Metadata::columns);
        check("open a table: columns of all tables", Metadata::allColumns);
        check("open a table: primary keys", Metadata::primaryKeys);
        check("open a table: foreign keys", Metadata::foreignKeys);
        check("open a table: data", Metadata::openTable);
        check("names with quotes, spaces, dots and signs", Metadata::oddNames);
        check("prepared: metadata before execution", Metadata::preparedMetadata);
        check("prepared: parameter metadata", Metadata::parameterMetadata);
        check("prepared: unset and null parameters", Metadata::nullParameters);
        check("edit: insert, update, delete by parameters", Metadata::edits);
        check("edit: batch of inserts", Metadata::batch);
        check("edit: transaction by SQL", Metadata::transactionBySql);
        check("run: execute, getResultSet, getUpdateCount", Metadata::execute);
        check("run: fetch size and rows in pages", Metadata::fetchSize);
        check("run: max rows", Metadata::maxRows);
        check("run: two results read in turns", Metadata::interleaved);
        check("run: closing half-read results 200 times", Metadata::closeHalfRead);
        check("run: wide table", Metadata::wide);
        check("run: NULL in every type", Metadata::nulls);
        check("run: values of 5 MB", Metadata::large);
        check("run: Unicode in values and names", Metadata::unicode);
        check("run: an empty result has its columns", Metadata::empty);
        check("cancel a scan from another thread", Metadata::cancelScan);
        check("cancel a generation from another thread", Metadata::cancelGeneration);
        check("a query that takes longer than its timeout", Metadata::queryTimeout);
        check("connection: schema and catalog", Metadata::schemaBySql);
        check("connection: isValid, close", Metadata::connection);
        DriverLacks.checks();
        System.exit(failed == 0 ? 0 : 1);
    }

    /** What the driver does not do, whatever the server answers. */
    private static final class DriverLacks {
        private static void checks() {
            lacks("index info", "no indexes", con -> {
                makeTable(con);
                holds(!names(con.getMetaData().getIndexInfo(null, "main", "jdbc_m", false, true), "INDEX_NAME").isEmpty(), "no indexes");
            });
            lacks("functions", "no functions", con -> holds(!names(con.getMetaData().getFunctions(null, null, "%"), "FUNCTION_NAME").isEmpty(), "no functions"));
            lacks("procedures", "no procedures", con -> holds(!names(con.getMetaData().getProcedures(null, null, "%"), "PROCEDURE_NAME").isEmpty(), "no procedures"));
            lacks("type info", "no types", con -> holds(!names(con.getMetaData().getTypeInfo(), "TYPE_NAME").isEmpty(), "no types"));
            lacks("a connection that is not read-only", "want false, have true", con -> equal(false, con.isReadOnly()));
            lacks("escapes in a pattern of column names", "want [a_b], have []", con -> {
                makeTable(con);
                run(con, "ALTER TABLE jdbc_m_child ADD COLUMN a_b INTEGER");
                equal(List.of("a_b"), names(con.getMetaData().getColumns(null, "main", "jdbc_m_child", "a\\_b"), "COLUMN_NAME"));
            });
            lacks("the row's number beyond a batch", "want 2049, have 1", con -> {
                try (Statement st = con.createStatement(); ResultSet r = st.executeQuery("FROM range(10000)")) {
                    for (int i = 1; i <= 10000; i++) {
                        holds(r.next(), "a row");
                        equal(i, r.getRow());
                    }
                }
            });
            lacks("autocommit off", "rollback() left the table", con -> {
                con.setAutoCommit(false);
                run(con, "CREATE OR REPLACE TABLE jdbc_auto (x INTEGER)");
                con.rollback();
                holds(names(con.getMetaData().getTables(null, "main", "jdbc_auto", null), "TABLE_NAME").isEmpty(), "rollback() left the table");
            });
            lacks("savepoints", "SQLFeatureNotSupported", con -> con.setSavepoint());
            lacks("batch of statements", "updateCounts", con -> {
                try (Statement st = con.createStatement()) {
                    st.addBatch("SELECT 1");
                    st.executeBatch();
                }
            });
            lacks("default isolation, which it wants as 64 bits where Flight SQL has 32", "Cannot cast java.lang.Integer to java.lang.Long", con -> con.getMetaData().getDefaultTransactionIsolation());
            lacks("columns of an empty result, once", "want [a], have [a, a]", con -> {
                try (Statement st = con.createStatement(); ResultSet r = st.executeQuery("SELECT 1 AS a WHERE false")) {
                    equal(List.of("a"), labels(r));
                }
            });
            lacks("objects of TIMESTAMP WITH TIME ZONE", "not implemented", con -> {
                try (Statement st = con.createStatement(); ResultSet r = st.executeQuery("SELECT now()")) {
                    r.next();
                    r.getObject(1);
                }
            });
            lacks("statements closed with their connection", "want true, have false", con -> {
                Statement st = con.createStatement();
                con.close();
                equal(true, st.isClosed());
            });
            lacks("setSchema", "want ai, have main", con -> {
                con.setSchema("ai");
                equal("ai", value(con, "SELECT current_schema()"));
            });
            lacks("closing a connection that named its catalog", "Channel shutdown invoked", con -> {
                try (Connection named = connect("catalog", "hyprstream")) {
                    equal("hyprstream", value(named, "SELECT current_database()"));
                }
            });
            lacks("updatable results", "SQLFeatureNotSupported", con -> {
                try (Statement st = con.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE); ResultSet r = st.executeQuery("SELECT 1 AS x")) {
                    r.next();
                    r.updateInt(1, 2);
                }
            });
            lacks("generated keys", "SQLFeatureNotSupported", con -> {
                try (PreparedStatement st = con.prepareStatement("SELECT 1", Statement.RETURN_GENERATED_KEYS)) {
                    holds(st.getGeneratedKeys() != null, "no keys");
                }
            });
        }
    }

    private static void check(String name, Check check) {
        long start = System.nanoTime();
        try (Connection con = connect()) {
            check.run(con);
            System.out.printf("ok    %s (%d ms)%n", name, (System.nanoTime() - start) / 1_000_000);
        } catch (Throwable t) {
            failed++;
            System.out.println("FAIL  " + name);
            t.printStackTrace(System.out);
        }
        System.out.flush();
    }

    private static void lacks(String name, String words, Check check) {
        try (Connection con = connect()) {
            try {
                check.run(con);
            } catch (SQLException | RuntimeException | AssertionError e) {
                holds(String.valueOf(e).contains(words), "want " + words + ", have " + e);
                System.out.printf("xfail driver: %s (%s)%n", name, String.valueOf(e).split("\n")[0]);
                return;
            }
            failed++;
            System.out.printf("FAIL  driver: %s: it works now, make it a check%n", name);
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAIL  driver: " + name);
            e.printStackTrace(System.out);
        }
        System.out.flush();
    }

    private static Connection connect(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
        for (int i = 0; i < more.length; i += 2) {
            properties.put(more[i], more[i + 1]);
        }
        return DriverManager.getConnection(url, properties);
    }

    private static void equal(Object want, Object have) {
        if (!Objects.equals(want, have)) {
            throw new AssertionError("want " + want + ", have " + have);
        }
    }

    private static void holds(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    private static List<String> names(ResultSet rows, String column) throws SQLException {
        try (rows) {
            List<String> values = new ArrayList<>();
            while (rows.next()) {
                values.add(rows.getString(column));
            }
            return values;
        }
    }

    private static int rows(ResultSet result) throws SQLException {
        try (result) {
            int n = 0;
            while (result.next()) {
                n++;
            }
            return n;
        }
    }

    private static String value(Connection con, String sql) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery(sql)) {
            holds(rows.next(), "a row");
            return rows.getString(1);
        }
    }

    private static void run(Connection con, String... statements) throws SQLException {
        try (Statement st = con.createStatement()) {
            for (String sql : statements) {
                st.execute(sql);
            }
        }
    }

    // --- On connecting ---

    private static void product(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        equal("hyprstream", md.getDatabaseProductName());
        holds(!md.getDatabaseProductVersion().isBlank() && !md.getDriverName().isBlank() && !md.getDriverVersion().isBlank(), "versions");
        holds(md.getURL().startsWith("jdbc:arrow-flight-sql://"), md.getURL());
        equal("\"", md.getIdentifierQuoteString());
        equal("\\", md.getSearchStringEscape());
        equal("database", md.getCatalogTerm());
        equal("schema", md.getSchemaTerm());
        equal(".", md.getCatalogSeparator());
        equal("", md.getExtraNameCharacters());
        equal(4, md.getJDBCMajorVersion());
        equal(con, md.getConnection());
    }

    /** A workbench asks for all of them; 0 is no limit, or none that is known. */
    private static void maxima(Connection con) throws Exception {
        for (Method method : DatabaseMetaData.class.getMethods()) {
            if (method.getName().startsWith("getMax")) {
                long max = ((Number) method.invoke(con.getMetaData())).longValue();
                equal(method.getName().equals("getMaxConnections"), max > 0);
            }
        }
        equal(true, con.getMetaData().doesMaxRowSizeIncludeBlobs());
    }

    private static void supports(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        equal(true, md.supportsTransactions());
        equal(true, md.supportsMixedCaseQuotedIdentifiers() || md.storesMixedCaseQuotedIdentifiers() || !md.supportsMixedCaseIdentifiers());
        equal(true, md.supportsSchemasInDataManipulation());
        equal(true, md.supportsSchemasInTableDefinitions());
        equal(true, md.supportsCatalogsInDataManipulation());
        equal(true, md.supportsCatalogsInTableDefinitions());
        equal(true, md.isCatalogAtStart());
        equal(true, md.supportsColumnAliasing());
        equal(true, md.supportsGroupBy());
        equal(true, md.supportsOrderByUnrelated());
        equal(true, md.supportsOuterJoins());
        equal(true, md.supportsFullOuterJoins());
        equal(true, md.supportsSubqueriesInExists());
        equal(true, md.supportsCorrelatedSubqueries());
        equal(true, md.supportsUnion());
        equal(true, md.supportsLikeEscapeClause());
        equal(false, md.supportsStoredProcedures());
        equal(false, md.supportsSavepoints());
        equal(false, md.supportsMultipleResultSets());
        equal(false, md.isReadOnly());
        equal(true, md.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY));
        equal(false, md.supportsResultSetType(ResultSet.TYPE_SCROLL_SENSITIVE));
        equal(true, md.supportsTransactionIsolationLevel(Connection.TRANSACTION_REPEATABLE_READ));
        equal(false, md.supportsTransactionIsolationLevel(Connection.TRANSACTION_READ_UNCOMMITTED));
        equal(false, md.supportsConvert());
        equal(true, md.supportsBatchUpdates());
    }

    private static void keywords(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        List<String> words = Arrays.asList(md.getSQLKeywords().split(", *"));
        holds(words.contains("QUALIFY") && words.contains("PIVOT"), "keywords: " + words);
        for (String functions : new String[] {md.getNumericFunctions(), md.getStringFunctions(), md.getSystemFunctions(), md.getTimeDateFunctions()}) {
            holds(functions != null && !functions.isBlank(), "functions");
        }
    }

    // --- The navigator ---

    private static void schemas(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        List<String> catalogs = names(md.getCatalogs(), "TABLE_CAT");
        equal(catalogs.stream().sorted().distinct().toList(), catalogs);
        holds(catalogs.contains("hyprstream"), "catalogs: " + catalogs);
        List<String> all = names(md.getSchemas(), "TABLE_SCHEM");
        holds(all.contains("main") && all.contains("ai"), "schemas: " + all);
        holds(names(md.getSchemas(), "TABLE_CATALOG").contains("hyprstream"), "the schemas' catalog");
        equal(List.of("ai"), names(md.getSchemas("hyprstream", "ai"), "TABLE_SCHEM"));
        equal(List.of(), names(md.getSchemas("nowhere", null), "TABLE_SCHEM"));
        holds(names(md.getTableTypes(), "TABLE_TYPE").containsAll(List.of("TABLE", "VIEW")), "table types");
        equal("main", value(con, "SELECT current_schema()"));
    }

    private static void tables(Connection con) throws SQLException {
        run(con, "CREATE SCHEMA IF NOT EXISTS jdbc_s", "CREATE OR REPLACE TABLE jdbc_s.one (x INTEGER)", "CREATE OR REPLACE VIEW jdbc_s.two AS FROM jdbc_s.one",
            "COMMENT ON TABLE jdbc_s.one IS 'the first'", "CREATE OR REPLACE TEMP TABLE jdbc_passing (x INTEGER)");
        DatabaseMetaData md = con.getMetaData();
        try (ResultSet found = md.getTables("hyprstream", "jdbc_s", "%", null)) {
            equal(List.of("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS", "TYPE_CAT", "TYPE_SCHEM", "TYPE_NAME", "SELF_REFERENCING_COL_NAME", "REF_GENERATION"), labels(found));
            holds(found.next(), "a table");
            equal("hyprstream jdbc_s one TABLE", String.join(" ", found.getString(1), found.getString(2), found.getString(3), found.getString(4)));
            holds(found.next(), "a view");
            equal("two VIEW", found.getString("TABLE_NAME") + " " + found.getString("TABLE_TYPE"));
            holds(!found.next(), "no third");
        }
        equal(List.of("one"), names(md.getTables(null, "jdbc_s", null, new String[] {"TABLE"}), "TABLE_NAME"));
        equal(List.of("one", "two"), names(md.getTables(null, "jdbc_s", null, new String[] {"TABLE", "VIEW"}), "TABLE_NAME"));
        equal(List.of("one"), names(md.getTables(null, "jdbc_s", "o_e", null), "TABLE_NAME"));
        equal(List.of(), names(md.getTables(null, "jdbc_s", "%", new String[] {"SYNONYM"}), "TABLE_NAME"));
        equal(List.of("jdbc_passing"), names(md.getTables(null, null, "jdbc_passing", null), "TABLE_NAME"));
        holds(names(md.getTables(null, "ai", "%", null), "TABLE_NAME").containsAll(List.of("models", "adapters", "prompts", "usage")), "tables of ai");
        run(con, "DROP SCHEMA jdbc_s CASCADE");
    }

    private static List<String> labels(ResultSet rows) throws SQLException {
        ResultSetMetaData md = rows.getMetaData();
        List<String> labels = new ArrayList<>();
        for (int i = 1; i <= md.getColumnCount(); i++) {
            labels.add(md.getColumnLabel(i));
        }
        return labels;
    }

    // --- Opening a table ---

    private static void makeTable(Connection con) throws SQLException {
        run(con, "DROP TABLE IF EXISTS jdbc_m_child", "DROP TABLE IF EXISTS jdbc_m",
            "CREATE TABLE jdbc_m (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL DEFAULT 'none', price DECIMAL(12, 3), ok BOOLEAN, small TINYINT,"
            + " ratio DOUBLE, day DATE, clock TIME, made TIMESTAMP, zoned TIMESTAMPTZ, body BLOB, tags VARCHAR[], v FLOAT[3], part STRUCT(a INTEGER), code UUID)",
            "COMMENT ON COLUMN jdbc_m.name IS 'what it is called'",
            "CREATE TABLE jdbc_m_child (id INTEGER PRIMARY KEY, parent BIGINT REFERENCES jdbc_m (id), UNIQUE (parent))");
    }

    private static void columns(Connection con) throws SQLException {
        makeTable(con);
        try (ResultSet c = con.getMetaData().getColumns("hyprstream", "main", "jdbc_m", "%")) {
            holds(labels(c).containsAll(List.of("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS",
                "NUM_PREC_RADIX", "NULLABLE", "REMARKS", "COLUMN_DEF", "CHAR_OCTET_LENGTH", "ORDINAL_POSITION", "IS_NULLABLE", "IS_AUTOINCREMENT", "IS_GENERATEDCOLUMN")), "" + labels(c));
            List<String> want = List.of("id BIGINT " + Types.BIGINT, "name VARCHAR " + Types.VARCHAR, "price DECIMAL(12,3) " + Types.DECIMAL, "ok BOOLEAN " + Types.BOOLEAN,
                "small TINYINT " + Types.TINYINT, "ratio DOUBLE " + Types.DOUBLE, "day DATE " + Types.DATE, "clock TIME " + Types.TIME, "made TIMESTAMP " + Types.TIMESTAMP,
                "zoned TIMESTAMP WITH TIME ZONE " + Types.TIMESTAMP_WITH_TIMEZONE, "body BLOB " + Types.VARBINARY, "tags VARCHAR[] " + Types.ARRAY, "v FLOAT[3] " + Types.ARRAY,
                "part STRUCT(a INTEGER) " + Types.JAVA_OBJECT, "code UUID " + Types.VARCHAR);
            List<String> have = new ArrayList<>();
            while (c.next()) {
                have.add(c.getString("COLUMN_NAME") + " " + c.getString("TYPE_NAME") + " " + c.getInt("DATA_TYPE"));
                equal(have.size(), c.getInt("ORDINAL_POSITION"));
                boolean needed = have.size() <= 2;
                equal(needed ? DatabaseMetaData.columnNoNulls : DatabaseMetaData.columnNullable, c.getInt("NULLABLE"));
                equal(needed ? "NO" : "YES", c.getString("IS_NULLABLE"));
                equal("NO", c.getString("IS_AUTOINCREMENT"));
                if (c.getString("COLUMN_NAME").equals("price")) {
                    equal("12 3 10", c.getInt("COLUMN_SIZE") + " " + c.getInt("DECIMAL_DIGITS") + " " + c.getInt("NUM_PREC_RADIX"));
                }
            }
            System.out.println("      " + have);
            equal(want, have);
        }
    }

    private static void allColumns(Connection con) throws SQLException {
        makeTable(con);
        DatabaseMetaData md = con.getMetaData();
        holds(names(md.getColumns(null, null, "%", "%"), "TABLE_NAME").containsAll(List.of("jdbc_m", "jdbc_m_child", "models")), "tables");
        equal(List.of("made"), names(md.getColumns(null, "main", "jdbc_m", "mad_"), "COLUMN_NAME"));
        equal(List.of(), names(md.getColumns(null, "main", "jdbc_m", "nothing"), "COLUMN_NAME"));
    }

    private static void primaryKeys(Connection con) throws SQLException {
        makeTable(con);
        DatabaseMetaData md = con.getMetaData();
        try (ResultSet k = md.getPrimaryKeys("hyprstream", "main", "jdbc_m")) {
            holds(k.next(), "a key");
            equal("hyprstream main jdbc_m id 1", String.join(" ", k.getString("TABLE_CAT"), k.getString("TABLE_SCHEM"), k.getString("TABLE_NAME"), k.getString("COLUMN_NAME"), k.getString("KEY_SEQ")));
            holds(!k.next(), "one key");
        }
        equal(List.of(), names(md.getPrimaryKeys(null, "ai", "models"), "COLUMN_NAME"));
    }

    private static void foreignKeys(Connection con) throws SQLException {
        makeTable(con);
        DatabaseMetaData md = con.getMetaData();
        for (ResultSet k : new ResultSet[] {md.getImportedKeys("hyprstream", "main", "jdbc_m_child"), md.getExportedKeys("hyprstream", "main", "jdbc_m"),
                md.getCrossReference("hyprstream", "main", "jdbc_m", "hyprstream", "main", "jdbc_m_child")}) {
            try (k) {
                holds(k.next(), "a key");
                equal("jdbc_m.id <- jdbc_m_child.parent 1", k.getString("PKTABLE_NAME") + "." + k.getString("PKCOLUMN_NAME") + " <- " + k.getString("FKTABLE_NAME") + "." + k.getString("FKCOLUMN_NAME") + " " + k.getString("KEY_SEQ"));
                equal(DatabaseMetaData.importedKeyNoAction, k.getInt("DELETE_RULE"));
                holds(!k.next(), "one key");
            }
        }
    }

    private static void openTable(Connection con) throws SQLException {
        makeTable(con);
        run(con, "INSERT INTO jdbc_m (id, name, price) VALUES (1, 'a', 1.5), (2, 'b', NULL)");
        try (Statement st = con.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
            st.setFetchSize(200);
            try (ResultSet rows = st.executeQuery("SELECT t.* FROM hyprstream.main.jdbc_m t ORDER BY t.id LIMIT 200")) {
                ResultSetMetaData md = rows.getMetaData();
                equal(15, md.getColumnCount());
                equal("price", md.getColumnName(3));
                equal(Types.DECIMAL, md.getColumnType(3));
                equal(2, rows(rows));
            }
        }
        equal("2", value(con, "SELECT count(*) FROM (SELECT * FROM jdbc_m)"));
    }

    private static void oddNames(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        for (String name : new String[] {"a table", "with \"quotes\"", "it's", "dotted.name", "100%", "under_score", "Größe", "SELECT", "back\\slash"}) {
            String quoted = '"' + name.replace("\"", "\"\"") + '"';
            run(con, "CREATE OR REPLACE TABLE " + quoted + " (" + quoted + " INTEGER PRIMARY KEY)");
            String pattern = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_");
            equal(List.of(name), names(md.getTables(null, "main", pattern, null), "TABLE_NAME"));
            equal(List.of(name), names(md.getColumns(null, "main", pattern, "%"), "COLUMN_NAME"));
            equal(List.of(name), names(md.getPrimaryKeys(null, "main", name), "COLUMN_NAME"));
            run(con, "DROP TABLE " + quoted);
        }
    }

    // --- Prepared statements ---

    private static void preparedMetadata(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement st = con.prepareStatement("SELECT id, name, price * 2 AS twice FROM jdbc_m WHERE id > ?")) {
            ResultSetMetaData md = st.getMetaData();
            equal("id name twice", md.getColumnLabel(1) + " " + md.getColumnLabel(2) + " " + md.getColumnLabel(3));
            equal(Types.BIGINT, md.getColumnType(1));
            equal(Types.DECIMAL, md.getColumnType(3));
        }
    }

    private static void parameterMetadata(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement st = con.prepareStatement("SELECT * FROM jdbc_m WHERE id = ? AND name = ? AND price > ? AND made < ?")) {
            ParameterMetaData md = st.getParameterMetaData();
            equal(4, md.getParameterCount());
            List<Integer> types = new ArrayList<>();
            for (int i = 1; i <= 4; i++) {
                types.add(md.getParameterType(i));
            }
            equal(List.of(Types.BIGINT, Types.VARCHAR, Types.DECIMAL, Types.TIMESTAMP), types);
        }
        try (PreparedStatement st = con.prepareStatement("SELECT 1")) {
            equal(0, st.getParameterMetaData().getParameterCount());
        }
    }

    private static void nullParameters(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement("SELECT ?::INTEGER IS NULL, ?::VARCHAR IS NULL, ?::DOUBLE IS NULL, ?::TIMESTAMP IS NULL")) {
            st.setNull(1, Types.INTEGER);
            st.setNull(2, Types.VARCHAR);
            st.setNull(3, Types.DOUBLE);
            st.setObject(4, null);
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "a row");
                for (int i = 1; i <= 4; i++) {
                    equal(true, rows.getBoolean(i));
                }
            }
        }
    }

    // --- Editing ---

    private static void edits(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement add = con.prepareStatement("INSERT INTO main.jdbc_m (id, name, price) VALUES (?, ?, ?)");
                PreparedStatement change = con.prepareStatement("UPDATE main.jdbc_m SET name = ? WHERE id = ?");
                PreparedStatement remove = con.prepareStatement("DELETE FROM main.jdbc_m WHERE id = ?")) {
            for (int i = 1; i <= 3; i++) {
                add.setLong(1, i);
                add.setString(2, "name " + i);
                add.setBigDecimal(3, new java.math.BigDecimal("1.250"));
                equal(1, add.executeUpdate());
            }
            change.setString(1, "changed");
            change.setLong(2, 2);
            equal(1, change.executeUpdate());
            remove.setLong(1, 3);
            equal(1, remove.executeUpdate());
            equal(0, remove.executeUpdate());
        }
        equal("[name 1, changed]", value(con, "SELECT list(name ORDER BY id)::VARCHAR FROM jdbc_m"));
        equal("2.500", value(con, "SELECT sum(price) FROM jdbc_m"));
    }

    private static void batch(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement st = con.prepareStatement("INSERT INTO jdbc_m (id, name, ok, ratio, day) VALUES (?, ?, ?, ?, ?)")) {
            for (int round = 0; round < 3; round++) {
                for (int i = 0; i < 500; i++) {
                    st.setLong(1, round * 500 + i);
                    st.setString(2, "naïve " + i);
                    st.setBoolean(3, i % 2 == 0);
                    st.setDouble(4, i / 2.0);
                    st.setDate(5, java.sql.Date.valueOf("2024-02-29"));
                    st.addBatch();
                }
                equal(500, Arrays.stream(st.executeBatch()).sum());
            }
        }
        equal("1500", value(con, "SELECT count(*) FROM jdbc_m"));
        equal("750", value(con, "SELECT count(*) FROM jdbc_m WHERE ok AND day = '2024-02-29' AND ratio = (id % 500) / 2"));
    }

    private static void transactionBySql(Connection con) throws SQLException {
        makeTable(con);
        try (Connection other = connect()) {
            con.setAutoCommit(false);
            run(con, "BEGIN", "INSERT INTO jdbc_m (id) VALUES (1)");
            equal("1 0", value(con, "SELECT count(*) FROM jdbc_m") + " " + value(other, "SELECT count(*) FROM jdbc_m"));
            run(con, "ROLLBACK");
            equal("0", value(con, "SELECT count(*) FROM jdbc_m"));
            run(con, "BEGIN", "INSERT INTO jdbc_m (id) VALUES (2)", "COMMIT");
            equal("1", value(other, "SELECT count(*) FROM jdbc_m"));
            run(con, "BEGIN");
            try {
                run(con, "INSERT INTO jdbc_m (id) VALUES (2)");
                throw new AssertionError("a second row of one key");
            } catch (SQLException e) {
                holds(e.getMessage().contains("Duplicate key"), e.getMessage());
            }
            run(con, "ROLLBACK");
            equal("1", value(con, "SELECT count(*) FROM jdbc_m"));
            con.setAutoCommit(true);
        }
    }

    // --- Running ---

    private static void execute(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            equal(true, st.execute("SELECT 7 AS x"));
            try (ResultSet rows = st.getResultSet()) {
                holds(rows.next() && rows.getInt("x") == 7, "7");
            }
            equal(false, st.execute("CREATE OR REPLACE TABLE jdbc_e (x INTEGER)"));
            equal(false, st.execute("INSERT INTO jdbc_e FROM range(4)"));
            equal(4, st.getUpdateCount());
            equal(false, st.getMoreResults());
            equal(true, st.execute("EXPLAIN SELECT * FROM jdbc_e"));
            holds(rows(st.getResultSet()) > 0, "a plan");
            equal(true, st.execute("SHOW TABLES"));
            holds(names(st.getResultSet(), "name").contains("jdbc_e"), "the table");
            equal(true, st.execute("DESCRIBE jdbc_e"));
            equal(List.of("x"), names(st.getResultSet(), "column_name"));
            st.execute("DROP TABLE jdbc_e");
        }
    }

    private static void fetchSize(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setFetchSize(100);
            try (ResultSet rows = st.executeQuery("SELECT i FROM range(10000) t(i) ORDER BY i")) {
                for (int i = 0; i < 10000; i++) {
                    holds(rows.next(), "row " + i);
                    equal(i, rows.getInt(1));
                }
                holds(!rows.next(), "the end");
            }
        }
    }

    private static void maxRows(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setMaxRows(5);
            equal(5, rows(st.executeQuery("FROM range(100000)")));
            st.setMaxRows(0);
            equal(10, rows(st.executeQuery("FROM range(10)")));
        }
    }

    private static void interleaved(Connection con) throws SQLException {
        try (Statement a = con.createStatement(); Statement b = con.createStatement();
                ResultSet one = a.executeQuery("SELECT i, repeat('x', 500) FROM range(20000) t(i) ORDER BY i");
                ResultSet two = b.executeQuery("SELECT -i, repeat('y', 500) FROM range(20000) t(i) ORDER BY i")) {
            for (int i = 0; i < 20000; i++) {
                holds(one.next() && two.next(), "row " + i);
                equal(0, one.getInt(1) + two.getInt(1));
            }
            holds(!one.next() && !two.next(), "the end of both");
        }
    }

    private static void closeHalfRead(Connection con) throws SQLException {
        for (int i = 0; i < 200; i++) {
            try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT i, repeat('x', 1000) FROM range(1000000000) t(i)")) {
                holds(rows.next() && rows.next(), "two rows");
            }
        }
        equal("1", value(con, "SELECT 1"));
        equal("0", value(con, "SELECT count(*) FROM ai.queries WHERE statement LIKE '%1000000000%' AND statement NOT LIKE '%ai.queries%'"));
    }

    private static void wide(Connection con) throws SQLException {
        StringBuilder columns = new StringBuilder();
        for (int i = 0; i < 1000; i++) {
            columns.append(i == 0 ? "" : ", ").append(i % 2 == 0 ? i + " + r AS n" : "'text " + i + "' AS s").append(i);
        }
        run(con, "CREATE OR REPLACE TABLE jdbc_wide AS SELECT " + columns + " FROM range(100) t(r)");
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT * FROM jdbc_wide ORDER BY n0")) {
            equal(1000, rows.getMetaData().getColumnCount());
            for (int r = 0; r < 100; r++) {
                holds(rows.next(), "row " + r);
                for (int i = 0; i < 1000; i++) {
                    equal(i % 2 == 0 ? "" + (i + r) : "text " + i, rows.getString(i + 1));
                }
            }
        }
        equal(1000, names(con.getMetaData().getColumns(null, "main", "jdbc_wide", null), "COLUMN_NAME").size());
        run(con, "DROP TABLE jdbc_wide");
    }

    private static void nulls(Connection con) throws SQLException {
        makeTable(con);
        run(con, "INSERT INTO jdbc_m (id, name) VALUES (1, 'x')");
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT * EXCLUDE (id, name) FROM jdbc_m")) {
            holds(rows.next(), "a row");
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                equal(null, rows.getString(i));
                equal(true, rows.wasNull());
                if (rows.getMetaData().getColumnType(i) != Types.TIMESTAMP_WITH_TIMEZONE) { // see DriverLacks
                    equal(null, rows.getObject(i));
                }
            }
            equal(0, rows.getInt("small"));
            equal(null, rows.getBigDecimal("price"));
            equal(null, rows.getTimestamp("made"));
            equal(null, rows.getBytes("body"));
        }
    }

    private static void large(Connection con) throws SQLException {
        int size = 5_000_000;
        run(con, "CREATE OR REPLACE TABLE jdbc_l (id INTEGER, text VARCHAR, bytes BLOB)");
        String text = "ü".repeat(size / 2);
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) (i * 31);
        }
        try (PreparedStatement st = con.prepareStatement("INSERT INTO jdbc_l VALUES (1, ?, ?)")) {
            st.setString(1, text);
            st.setBytes(2, bytes);
            equal(1, st.executeUpdate());
        }
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT text, bytes FROM jdbc_l")) {
            holds(rows.next(), "a row");
            equal(text, rows.getString(1));
            holds(Arrays.equals(bytes, rows.getBytes(2)), "the bytes");
        }
        run(con, "DROP TABLE jdbc_l");
    }

    private static void unicode(Connection con) throws SQLException {
        String text = "naïve наука 数学 🚀 \u0000 \uFFFD e\u0301 \"'\\";
        try (PreparedStatement st = con.prepareStatement("SELECT ?::VARCHAR AS \"Größe 🚀\", length(?::VARCHAR), encode(?::VARCHAR)")) {
            st.setString(1, text);
            st.setString(2, text);
            st.setString(3, "plain");
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "a row");
                equal("Größe 🚀", rows.getMetaData().getColumnLabel(1));
                equal(text, rows.getString("Größe 🚀"));
                equal(text.codePointCount(0, text.length()), rows.getInt(2));
                equal("plain", new String(rows.getBytes(3), StandardCharsets.UTF_8));
            }
        }
    }

    private static void empty(Connection con) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT 1 AS a, 'x' AS b WHERE false")) {
            equal(List.of("a", "b"), labels(rows).subList(0, 2)); // the driver has them twice
            equal(Types.INTEGER, rows.getMetaData().getColumnType(1));
            holds(!rows.next(), "no rows");
        }
    }

    // --- Cancelling ---

    /** The driver knows a result from its first row on, so the statement that is cancelled gives one at once. */
    private static void cancelled(Connection con, String sql) throws Exception {
        long start = System.nanoTime();
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery(sql)) {
            holds(rows.next(), "a first row");
            Thread user = new Thread(() -> {
                try {
                    st.cancel();
                } catch (SQLException e) {
                    System.out.println("      cancel(): " + e.getMessage());
                }
            });
            user.start();
            int n = 1;
            try {
                while (rows.next()) {
                    n++;
                }
                throw new AssertionError("all " + n + " rows came");
            } catch (SQLException | RuntimeException e) { // the driver lets gRPC's own through
                holds(String.valueOf(e.getMessage()).contains("ancel"), "" + e);
            }
            user.join();
        }
        holds(System.nanoTime() - start < 60_000_000_000L, "cancelled after a minute");
        equal("1", value(con, "SELECT 1"));
    }

    private static void cancelScan(Connection con) throws Exception {
        cancelled(con, "SELECT i, repeat('x', 1000) FROM range(10000000000) t(i)");
    }

    private static void cancelGeneration(Connection con) throws Exception {
        cancelled(con, "SELECT text FROM generate_stream('gemma', 'Once upon a time', max_tokens := 1500, ignore_eos := true)");
        equal("0", value(con, "SELECT count(*) FROM ai.queries WHERE statement LIKE '%Once upon a time%' AND statement NOT LIKE '%ai.queries%'"));
    }

    /** The driver stops waiting after the time, and the server computing when the statement is closed. */
    private static void queryTimeout(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setQueryTimeout(1);
            try (ResultSet rows = st.executeQuery("SELECT count(*) FROM range(10000000000000) t(i) WHERE i % 7 = 3")) {
                throw new AssertionError("a row: " + rows.next());
            } catch (SQLException e) {
                holds(String.valueOf(e.getMessage()).contains("timed out"), e.getMessage());
            }
        }
        try (Connection other = connect()) {
            equal("1", value(other, "SELECT 1"));
        }
    }

    /** USE is how a schema is chosen; a catalog that is not there is refused on connecting. */
    private static void schemaBySql(Connection con) throws SQLException {
        run(con, "USE ai");
        equal("ai", value(con, "SELECT current_schema()"));
        holds(Integer.parseInt(value(con, "SELECT count(*) FROM models")) > 0, "models");
        try (Connection other = connect("catalog", "nowhere")) {
            throw new AssertionError("connected to the catalog nowhere, " + value(other, "SELECT current_database()"));
        } catch (SQLException e) {
            holds(e.getMessage().contains("catalog"), e.getMessage());
        }
    }

    private static void connection(Connection con) throws SQLException {
        equal(true, con.isValid(5));
        equal(null, con.getWarnings());
        equal(false, con.isClosed());
        Statement st = con.createStatement();
        st.close();
        equal(true, st.isClosed());
        con.close();
        equal(true, con.isClosed());
        con.close();
    }
}
