import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
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
import java.util.TreeSet;

/**
 * Checks a running server through the stock Arrow Flight SQL JDBC driver: one line per check, exit code 1 when one
 * fails. Argument: the JDBC URL. Needs --add-opens=java.base/java.nio=ALL-UNNAMED and a model named gemma.
 */
public final class Conformance {
    private interface Check {
        void run(Connection con) throws Exception;
    }

    private static int failed = 0;
    private static String url;

    public static void main(String[] args) throws Exception {
        url = args[0];
        check("product", Conformance::product);
        check("catalogs, schemas and table types", Conformance::catalogs);
        check("tables", Conformance::tables);
        check("columns", Conformance::columns);
        check("keys", Conformance::keys);
        check("type info", Conformance::typeInfo);
        check("statement", Conformance::statement);
        check("values of each type", Conformance::values);
        check("update counts", Conformance::updates);
        check("prepared select", Conformance::preparedSelect);
        check("parameters of each type", Conformance::parameters);
        check("batch insert", Conformance::batch);
        check("transactions", Conformance::transactions);
        check("temporary tables", Conformance::temporary);
        check("two open result sets", Conformance::twoResults);
        check("large result", Conformance::largeResult);
        check("errors", Conformance::errors);
        check("cancel", Conformance::cancel);
        check("query timeout", Conformance::queryTimeout);
        check("generate over a table", Conformance::generate);
        check("generate with a parameter", Conformance::generateParameter);
        check("label probabilities", Conformance::probabilities);
        check("vectors", Conformance::vectors);
        check("options with parameters", Conformance::options);
        check("typed answers", Conformance::typed);
        System.exit(failed == 0 ? 0 : 1);
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

    private static Connection connect() throws SQLException {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
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

    /** All values of a column, as strings. */
    private static List<String> column(ResultSet rows, String name) throws SQLException {
        try (rows) {
            List<String> values = new ArrayList<>();
            while (rows.next()) {
                values.add(rows.getString(name));
            }
            return values;
        }
    }

    private static long count(Statement st, String sql) throws SQLException {
        try (ResultSet rows = st.executeQuery(sql)) {
            holds(rows.next(), "a count is one row");
            return rows.getLong(1);
        }
    }

    private static void execute(Connection con, String... statements) throws SQLException {
        try (Statement st = con.createStatement()) {
            for (String sql : statements) {
                st.execute(sql);
            }
        }
    }

    private static void product(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        equal("hyprstream", md.getDatabaseProductName());
        holds(!md.getDatabaseProductVersion().isEmpty(), "a version");
        equal("\"", md.getIdentifierQuoteString());
        equal(false, md.isReadOnly());
        equal(true, md.supportsTransactions());
        equal(true, md.supportsGroupBy());
        equal(true, md.supportsUnionAll());
        equal(true, md.nullsAreSortedAtEnd());
        equal("database", md.getCatalogTerm());
        holds(md.getSQLKeywords().contains("QUALIFY"), "keywords");
    }

    private static void catalogs(Connection con) throws SQLException {
        DatabaseMetaData md = con.getMetaData();
        holds(column(md.getCatalogs(), "TABLE_CAT").contains("hyprstream"), "the catalog");
        List<String> schemas = column(md.getSchemas("hyprstream", null), "TABLE_SCHEM");
        holds(schemas.contains("main") && schemas.contains("ai"), "schemas: " + schemas);
        equal(List.of("main"), column(md.getSchemas("hyprstream", "mai_"), "TABLE_SCHEM"));
        equal(new TreeSet<>(List.of("LOCAL TEMPORARY", "TABLE", "VIEW")), new TreeSet<>(column(md.getTableTypes(), "TABLE_TYPE")));
    }

    private static void tables(Connection con) throws SQLException {
        execute(con, "CREATE OR REPLACE TABLE jdbc_t (id INTEGER)", "CREATE OR REPLACE VIEW jdbc_v AS FROM jdbc_t");
        DatabaseMetaData md = con.getMetaData();
        equal(List.of("jdbc_t", "jdbc_v"), column(md.getTables(null, "main", "jdbc\\__", null), "TABLE_NAME"));
        equal(List.of("jdbc_v"), column(md.getTables(null, null, "jdbc%", new String[] {"VIEW"}), "TABLE_NAME"));
        equal(List.of("models"), column(md.getTables("hyprstream", "ai", "models", null), "TABLE_NAME"));
        execute(con, "DROP VIEW jdbc_v", "DROP TABLE jdbc_t");
    }

    private static void columns(Connection con) throws SQLException {
        execute(con, "CREATE OR REPLACE TABLE jdbc_c (id INTEGER NOT NULL, name VARCHAR, price DECIMAL(10, 2), made TIMESTAMP, ok BOOLEAN)",
            "COMMENT ON COLUMN jdbc_c.name IS 'what it is called'");
        List<String> have = new ArrayList<>();
        try (ResultSet rows = con.getMetaData().getColumns(null, "main", "jdbc_c", null)) {
            while (rows.next()) {
                have.add(String.join(" ", rows.getString("ORDINAL_POSITION"), rows.getString("COLUMN_NAME"), rows.getString("DATA_TYPE"),
                    rows.getString("TYPE_NAME"), rows.getString("COLUMN_SIZE"), rows.getString("DECIMAL_DIGITS"), rows.getString("IS_NULLABLE")));
            }
        }
        System.out.println("      " + have);
        equal(5, have.size());
        holds(have.get(0).startsWith("1 id " + Types.INTEGER + " INTEGER") && have.get(0).endsWith("NO"), "id: " + have.get(0));
        holds(have.get(1).startsWith("2 name " + Types.VARCHAR + " VARCHAR") && have.get(1).endsWith("YES"), "name: " + have.get(1));
        holds(have.get(2).startsWith("3 price " + Types.DECIMAL + " DECIMAL(10,2) 10 2"), "price: " + have.get(2));
        holds(have.get(3).startsWith("4 made " + Types.TIMESTAMP + " TIMESTAMP"), "made: " + have.get(3));
        execute(con, "DROP TABLE jdbc_c");
    }

    private static void keys(Connection con) throws SQLException {
        execute(con, "DROP TABLE IF EXISTS jdbc_child", "DROP TABLE IF EXISTS jdbc_parent",
            "CREATE TABLE jdbc_parent (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
            "CREATE TABLE jdbc_child (id INTEGER PRIMARY KEY, pa INTEGER, pb INTEGER, FOREIGN KEY (pa, pb) REFERENCES jdbc_parent (a, b))");
        DatabaseMetaData md = con.getMetaData();
        equal(List.of("a", "b"), column(md.getPrimaryKeys(null, "main", "jdbc_parent"), "COLUMN_NAME"));
        equal(List.of("pa", "pb"), column(md.getImportedKeys(null, "main", "jdbc_child"), "FKCOLUMN_NAME"));
        equal(List.of("jdbc_child", "jdbc_child"), column(md.getExportedKeys(null, "main", "jdbc_parent"), "FKTABLE_NAME"));
        equal(2, column(md.getCrossReference(null, "main", "jdbc_parent", null, "main", "jdbc_child"), "PKCOLUMN_NAME").size());
        execute(con, "DROP TABLE jdbc_child", "DROP TABLE jdbc_parent");
    }

    /** The driver (18.3.0) does not ask the server and gives no rows; a later one may. */
    private static void typeInfo(Connection con) throws SQLException {
        List<String> names = column(con.getMetaData().getTypeInfo(), "TYPE_NAME");
        holds(names.isEmpty() || names.containsAll(List.of("INTEGER", "VARCHAR", "TIMESTAMP", "DECIMAL")), "types: " + names);
    }

    private static void statement(Connection con) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT i, 'row ' || i AS s FROM range(3) t(i) ORDER BY i")) {
            ResultSetMetaData md = rows.getMetaData();
            equal(2, md.getColumnCount());
            equal("s", md.getColumnLabel(2));
            equal(Types.BIGINT, md.getColumnType(1));
            int n = 0;
            while (rows.next()) {
                equal((long) n, rows.getLong("i"));
                equal("row " + n, rows.getString(2));
                n++;
            }
            equal(3, n);
        }
    }

    private static void values(Connection con) throws SQLException {
        String sql = "SELECT true, 1::TINYINT, 2::SMALLINT, 3, 4::BIGINT, 1.5::FLOAT, 2.5::DOUBLE, 12.34::DECIMAL(10, 2), 'text',"
            + " DATE '2024-02-29', TIMESTAMP '2024-02-29 12:30:01', 'b'::ENUM ('a', 'b'), [1, 2], NULL, uuid() IS NOT NULL, '\\xAA'::BLOB";
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery(sql)) {
            holds(rows.next(), "one row");
            equal(true, rows.getBoolean(1));
            for (int i = 2; i <= 5; i++) {
                equal(i - 1, rows.getInt(i));
            }
            equal(1.5f, rows.getFloat(6));
            equal(2.5, rows.getDouble(7));
            equal("12.34", rows.getBigDecimal(8).toString());
            equal("text", rows.getString(9));
            equal("2024-02-29", rows.getDate(10).toString());
            equal("2024-02-29 12:30:01.0", rows.getTimestamp(11).toString());
            equal("b", rows.getString(12));
            equal("[1,2]", rows.getString(13));
            equal(null, rows.getObject(14));
            equal(true, rows.getBoolean(15));
            equal(1, rows.getBytes(16).length);
        }
    }

    private static void updates(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.executeUpdate("CREATE OR REPLACE TABLE jdbc_u (x INTEGER)");
            equal(3, st.executeUpdate("INSERT INTO jdbc_u VALUES (1), (2), (3)"));
            equal(2, st.executeUpdate("UPDATE jdbc_u SET x = 0 WHERE x > 1"));
            equal(false, st.execute("DELETE FROM jdbc_u WHERE x = 0"));
            equal(1L, count(st, "SELECT count(*) FROM jdbc_u"));
            st.execute("DROP TABLE jdbc_u");
        }
    }

    private static void preparedSelect(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement("SELECT i, i * 2 AS twice FROM range(100) t(i) WHERE i BETWEEN ? AND ? ORDER BY i")) {
            for (int from : new int[] {10, 50}) {
                st.setLong(1, from);
                st.setLong(2, from + 2);
                List<String> want = List.of("" + 2 * from, "" + 2 * (from + 1), "" + 2 * (from + 2));
                equal(want, column(st.executeQuery(), "twice"));
            }
        }
    }

    private static void parameters(Connection con) throws SQLException {
        String sql = "SELECT ?::INTEGER, ?::BIGINT, ?::DOUBLE, ?::VARCHAR, ?::BOOLEAN, ?::DATE, ?::VARCHAR";
        try (PreparedStatement st = con.prepareStatement(sql)) {
            st.setInt(1, 1);
            st.setLong(2, 1L << 40);
            st.setDouble(3, 2.5);
            st.setString(4, "naïve 🚀");
            st.setBoolean(5, true);
            st.setDate(6, Date.valueOf("2024-02-29"));
            st.setString(7, null);
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "one row");
                equal(1, rows.getInt(1));
                equal(1L << 40, rows.getLong(2));
                equal(2.5, rows.getDouble(3));
                equal("naïve 🚀", rows.getString(4));
                equal(true, rows.getBoolean(5));
                equal("2024-02-29", rows.getDate(6).toString());
                equal(null, rows.getString(7));
            }
        }
    }

    /** The driver sends the batch as one and reports one total. */
    private static void batch(Connection con) throws SQLException {
        execute(con, "CREATE OR REPLACE TABLE jdbc_b (id INTEGER, name VARCHAR)");
        try (PreparedStatement st = con.prepareStatement("INSERT INTO jdbc_b VALUES (?, ?)"); Statement ask = con.createStatement()) {
            for (int i = 0; i < 1000; i++) {
                st.setInt(1, i);
                st.setString(2, "name " + i);
                st.addBatch();
            }
            equal(1000, Arrays.stream(st.executeBatch()).sum());
            equal(1000L, count(ask, "SELECT count(DISTINCT name) FROM jdbc_b"));
            ask.execute("DROP TABLE jdbc_b");
        }
    }

    /** The driver's commit() and rollback() do nothing (18.3.0), so transactions are SQL. */
    private static void transactions(Connection con) throws SQLException {
        execute(con, "CREATE OR REPLACE TABLE jdbc_x (x INTEGER)");
        try (Statement st = con.createStatement(); Connection other = connect(); Statement outside = other.createStatement()) {
            st.execute("BEGIN");
            st.executeUpdate("INSERT INTO jdbc_x VALUES (1)");
            equal(1L, count(st, "SELECT count(*) FROM jdbc_x"));
            equal(0L, count(outside, "SELECT count(*) FROM jdbc_x"));
            st.execute("ROLLBACK");
            equal(0L, count(st, "SELECT count(*) FROM jdbc_x"));
            st.execute("BEGIN");
            st.executeUpdate("INSERT INTO jdbc_x VALUES (2)");
            st.execute("COMMIT");
            equal(1L, count(outside, "SELECT count(*) FROM jdbc_x"));
        }
        execute(con, "DROP TABLE jdbc_x");
    }

    /** Temporary tables are of their connection. */
    private static void temporary(Connection con) throws SQLException {
        try (Statement a = con.createStatement(); Connection other = connect(); Statement b = other.createStatement()) {
            a.execute("CREATE TEMP TABLE mine AS SELECT 1 AS x");
            b.execute("CREATE TEMP TABLE mine AS SELECT 2 AS x");
            equal(1L, count(a, "SELECT x FROM mine"));
            equal(2L, count(b, "SELECT x FROM mine"));
        }
    }

    private static void twoResults(Connection con) throws SQLException {
        try (Statement a = con.createStatement(); Statement b = con.createStatement();
                ResultSet outer = a.executeQuery("SELECT i FROM range(5000) t(i) ORDER BY i")) {
            int n = 0;
            while (outer.next() && n < 50) {
                equal((long) n, count(b, "SELECT " + outer.getLong(1)));
                n++;
            }
            equal(50, n);
        }
    }

    private static void largeResult(Connection con) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT i, 'row ' || i FROM range(500000) t(i)")) {
            long sum = 0;
            while (rows.next()) {
                sum += rows.getLong(1);
            }
            equal(500000L * 499999 / 2, sum);
        }
    }

    private static void errors(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            for (String[] c : new String[][] {{"SELEKT 1", "[SYNTAX_ERROR]"}, {"SELECT * FROM nowhere", "[NOT_FOUND]"},
                    {"SELECT generate('no such model', 'x')", "[MODEL_NOT_FOUND]"}}) {
                try (ResultSet rows = st.executeQuery(c[0])) {
                    rows.next();
                    throw new AssertionError(c[0] + " succeeded");
                } catch (SQLException e) {
                    holds(String.valueOf(e.getMessage()).contains(c[1]), c[0] + ": " + e.getMessage());
                }
            }
            equal(1L, count(st, "SELECT 1"));
        }
    }

    /**
     * Statement.cancel() stops the server's work on a result. The driver knows a result only from its first row on:
     * until then neither cancel() nor close() of the connection reaches the server.
     */
    private static void cancel(Connection con) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT i, repeat('x', 1000) FROM range(10000000000) t(i)")) {
            holds(rows.next(), "a first row");
            long start = System.nanoTime();
            st.cancel();
            try {
                while (rows.next()) {
                    holds(System.nanoTime() - start < 5_000_000_000L, "rows go on 5 s after cancel()");
                }
            } catch (SQLException e) {
                // cancelled
            }
        }
        try (Statement st = con.createStatement()) {
            equal(1L, count(st, "SELECT 1"));
        }
    }

    /** One that is in time; Metadata.java has one that is not. */
    private static void queryTimeout(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setQueryTimeout(30);
            equal(30, st.getQueryTimeout());
            equal(1L, count(st, "SELECT 1"));
        }
    }

    private static void generate(Connection con) throws SQLException {
        execute(con, "CREATE OR REPLACE TABLE jdbc_prompts AS SELECT * FROM (VALUES (1, 'Q: What is the capital of France?' || chr(10) || 'A:'), (2, 'Once upon a time')) t(id, prompt)");
        try (Statement st = con.createStatement();
                ResultSet rows = st.executeQuery("SELECT id, generate('gemma', prompt, max_tokens := 12) AS text FROM jdbc_prompts ORDER BY id")) {
            List<String> texts = new ArrayList<>();
            while (rows.next()) {
                texts.add(rows.getString("text"));
            }
            System.out.println("      " + texts);
            equal(2, texts.size());
            holds(texts.get(0).contains("Paris"), "the capital: " + texts.get(0));
            holds(!texts.get(1).isBlank(), "a story");
        }
        execute(con, "DROP TABLE jdbc_prompts");
    }

    private static void generateParameter(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement("SELECT generate('gemma', ?, max_tokens := 12) AS text")) {
            st.setString(1, "Q: What is the capital of France?\nA:");
            String text = column(st.executeQuery(), "text").get(0);
            holds(text.contains("Paris"), text);
        }
    }

    private static void probabilities(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement("SELECT ai_classify_probs(?, ['good', 'bad']), ai_classify(?, ['good', 'bad'])")) {
            st.setString(1, "Best coffee in town!");
            st.setString(2, "Best coffee in town!");
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "a row");
                java.util.Map<?, ?> map = (java.util.Map<?, ?>) rows.getObject(1);
                equal(2, map.size());
                double sum = 0;
                for (Object v : map.values()) {
                    sum += ((Number) v).doubleValue();
                }
                holds(Math.abs(sum - 1) < 1e-9, "the sum of " + map);
                holds(List.of("good", "bad").contains(rows.getString(2)), "one of the labels");
            }
        }
    }

    private static void vectors(Connection con) throws SQLException {
        try (Statement st = con.createStatement();
                ResultSet rows = st.executeQuery("SELECT embed('gemma', 'coffee') AS v, embed('gemma', NULL)")) {
            equal(Types.ARRAY, rows.getMetaData().getColumnType(1));
            holds(rows.next(), "a row");
            Object[] v = (Object[]) rows.getArray(1).getArray();
            equal(640, v.length);
            double square = 0;
            for (Object x : v) {
                square += Math.pow(((Number) x).doubleValue(), 2);
            }
            holds(Math.abs(square - 1) < 1e-4, "length 1, not " + square);
            equal(null, rows.getArray(2));
        }
    }

    private static void options(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement("SELECT generate(?, ?, grammar := ?, max_tokens := ?)")) {
            st.setString(1, "gemma");
            st.setString(2, "Is water wet?");
            st.setString(3, "root ::= \"yes\" | \"no\"");
            st.setInt(4, 4);
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "a row");
                holds(List.of("yes", "no").contains(rows.getString(1)), "yes or no, not " + rows.getString(1));
            }
        }
        try (Statement st = con.createStatement()) {
            st.executeQuery("SELECT generate('gemma', 'x', max_tokns := 1)");
            throw new AssertionError("no error");
        } catch (SQLException e) {
            holds(e.getMessage().contains("did you mean max_tokens?"), e.getMessage());
        }
    }

    private static void typed(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement(
                "SELECT ai_extract(?, 'STRUCT(name VARCHAR, year SMALLINT)'), generate_as('gemma', ?, 'BOOLEAN'), generate_as('gemma', '5, 6, 7,', 'INTEGER')")) {
            st.setString(1, "Maria moved from Lisbon to Berlin in 2019.");
            st.setString(2, "Is water wet? Answer true or false:");
            try (ResultSet rows = st.executeQuery()) {
                equal(Types.JAVA_OBJECT, rows.getMetaData().getColumnType(1));
                equal(Types.INTEGER, rows.getMetaData().getColumnType(3));
                holds(rows.next(), "a row");
                java.util.Map<?, ?> fields = (java.util.Map<?, ?>) rows.getObject(1);
                equal(java.util.Set.of("name", "year"), fields.keySet());
                rows.getBoolean(2);
                holds(!rows.wasNull(), "true or false");
                equal(8, rows.getInt(3));
            }
        }
        try (Statement st = con.createStatement();
                ResultSet rows = st.executeQuery("SELECT t.error.code, t.value, t.usage.completion FROM (SELECT try_generate('gemma', 'x', returns := 'VARCHAR[]', max_tokens := 1) AS t)")) {
            holds(rows.next(), "a row");
            equal("OUTPUT_INVALID", rows.getString(1));
            equal(null, rows.getObject(2));
            equal(1, rows.getInt(3));
        }
    }
}
